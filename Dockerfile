# The gateway in a container: configuration in /etc/anbar (read only), everything that grows in /var/lib/anbar.
#
#   docker build -t anbar .
#   docker run -p 127.0.0.1:9000:9000 -v anbar:/var/lib/anbar anbar
FROM python:3.13-slim-bookworm AS build

WORKDIR /src
COPY requirements.txt ./
RUN python -m venv /opt/anbar && /opt/anbar/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway ./gateway
RUN /opt/anbar/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm

RUN useradd --system --uid 9000 --home-dir /var/lib/anbar --shell /usr/sbin/nologin anbar \
    && install -d -o anbar -g anbar -m 0700 /var/lib/anbar
COPY --from=build /opt/anbar /opt/anbar
COPY deploy/container/gateway.toml /etc/anbar/gateway.toml
COPY policies /etc/anbar/policies
ENV PATH=/opt/anbar/bin:$PATH ANBAR_CONFIG=/etc/anbar/gateway.toml PYTHONUNBUFFERED=1
USER anbar
VOLUME /var/lib/anbar
EXPOSE 9000
HEALTHCHECK --interval=10s --timeout=3s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9001/-/ready', timeout=2)"]
# The key ring is made at the first start, in the volume; everything else must be there.
CMD ["/bin/sh", "-c", "anbar init --dir /etc/anbar && exec anbar serve"]
