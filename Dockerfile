# syntax=docker/dockerfile:1
# The gateway in a container: configuration in /etc/anbar (read only), everything that grows in /var/lib/anbar.
#
#   docker build -t anbar .
#   docker run --read-only --tmpfs /tmp -p 127.0.0.1:9000:9000 -v anbar:/var/lib/anbar anbar
#
# To build on one certain base for good: --build-arg BASE=python:3.13-slim-bookworm@sha256:…
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.txt ./
RUN python3 -m venv /opt/anbar && /opt/anbar/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway ./gateway
# Without pip in it, and compiled, since nothing is written below /opt later.
RUN /opt/anbar/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/anbar/bin/pip uninstall --yes pip \
    && python3 -m compileall -q -j 0 /opt/anbar/lib

FROM ${BASE}
RUN useradd --system --uid 9000 --home-dir /var/lib/anbar --shell /usr/sbin/nologin anbar \
    && install -d -o anbar -g anbar -m 0700 /var/lib/anbar /var/cache/anbar
COPY --from=build /opt/anbar /opt/anbar
COPY deploy/container/gateway.toml /etc/anbar/gateway.toml
COPY policies /etc/anbar/policies
ENV PATH=/opt/anbar/bin:$PATH ANBAR_CONFIG=/etc/anbar/gateway.toml PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER anbar
WORKDIR /var/lib/anbar
VOLUME ["/var/lib/anbar", "/var/cache/anbar"]
EXPOSE 9000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["/opt/anbar/bin/python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9001/-/ready', timeout=2)"]
# The key ring is made at the first start, in the volume; everything else must be there.
CMD ["/bin/sh", "-c", "anbar init --dir /etc/anbar && exec anbar serve"]
