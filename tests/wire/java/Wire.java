// The AWS SDK for Java v2 at a gateway: each case prints its facts for tests/wire/test_java_sdk.py to judge.
//
// Environment: ENDPOINT (with the name that buckets are sub-domains of, for virtual-host style), ACCESS_KEY_ID,
// SECRET_ACCESS_KEY, BUCKET (a name that nobody has used), STYLE ("path" or "virtual"). With END_USER it is a service
// that begins a session in that name: the key is a service's, ROLE_ARN names the session's role, BUCKET is there and has
// FOREIGN_KEY, which is somebody else's.

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.ResponseInputStream;
import software.amazon.awssdk.core.interceptor.Context;
import software.amazon.awssdk.core.interceptor.ExecutionAttributes;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.SdkHttpRequest;
import software.amazon.awssdk.http.apache.ApacheHttpClient;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.S3Configuration;
import software.amazon.awssdk.services.s3.model.ChecksumAlgorithm;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.GetObjectResponse;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;
import software.amazon.awssdk.services.s3.model.PutObjectRequest;
import software.amazon.awssdk.services.s3.model.PutObjectResponse;
import software.amazon.awssdk.services.s3.model.S3Object;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.awssdk.services.sts.auth.StsAssumeRoleCredentialsProvider;

public final class Wire {
    interface Case {
        Map<String, Object> run() throws Exception;
    }

    static final int MEBIBYTE = 1024 * 1024;
    static final String BUCKET = System.getenv("BUCKET");
    static final S3Configuration STYLE =
            S3Configuration.builder().pathStyleAccessEnabled(!"virtual".equals(System.getenv("STYLE"))).build();

    /** The headers of the last request with a body, which name the payload's form. */
    static volatile SdkHttpRequest lastPut;

    static S3Client S3 = client(credentials(System.getenv("SECRET_ACCESS_KEY")));

    static S3Client client(AwsCredentialsProvider credentials) {
        return S3Client.builder()
                .endpointOverride(URI.create(System.getenv("ENDPOINT")))
                .region(Region.of("default"))
                .credentialsProvider(credentials)
                .serviceConfiguration(STYLE)
                .httpClientBuilder(ApacheHttpClient.builder())
                .overrideConfiguration(change -> change
                        .retryStrategy(strategy -> strategy.maxAttempts(1))
                        .addExecutionInterceptor(new ExecutionInterceptor() {
                            @Override
                            public void beforeTransmission(Context.BeforeTransmission context, ExecutionAttributes all) {
                                if (context.requestBody().isPresent()) {
                                    lastPut = context.httpRequest();
                                }
                            }
                        }))
                .build();
    }

    static StaticCredentialsProvider credentials(String secret) {
        return StaticCredentialsProvider.create(AwsBasicCredentials.create(System.getenv("ACCESS_KEY_ID"), secret));
    }

    /** The same bytes as body() in node_clients.py. */
    static byte[] body(int size) throws Exception {
        Cipher cipher = Cipher.getInstance("AES/CTR/NoPadding");
        cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(new byte[16], "AES"), new IvParameterSpec(new byte[16]));
        return cipher.doFinal(new byte[size]);
    }

    /** Pairs of names and values as a map that may hold nulls. */
    static Map<String, Object> facts(Object... pairs) {
        Map<String, Object> told = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            told.put((String) pairs[i], pairs[i + 1]);
        }
        return told;
    }

    static Map<String, Object> digest(InputStream data) throws Exception {
        byte[] whole = data.readAllBytes();
        byte[] hash = MessageDigest.getInstance("SHA-256").digest(whole);
        return facts("size", whole.length, "sha256", HexFormat.of().formatHex(hash));
    }

    static Map<String, Object> read(String key) throws Exception {
        try (ResponseInputStream<GetObjectResponse> found = S3.getObject(asked -> asked.bucket(BUCKET).key(key))) {
            Map<String, Object> told = digest(found);
            told.put("etag", found.response().eTag());
            told.put("type", found.response().contentType());
            told.put("encoding", found.response().contentEncoding());
            told.put("metadata", found.response().metadata());
            return told;
        }
    }

    static PutObjectRequest.Builder object(String key) {
        return PutObjectRequest.builder().bucket(BUCKET).key(key);
    }

    static String payload() {
        return lastPut.firstMatchingHeader("x-amz-content-sha256").orElse(null);
    }

    static Map<String, Object> failure(Case action) throws Exception {
        try {
            action.run();
        } catch (AwsServiceException error) {
            String code = error.awsErrorDetails() == null ? null : error.awsErrorDetails().errorCode();
            return facts("name", code, "status", error.statusCode(), "message", error.getMessage());
        }
        return facts("name", "nothing failed");
    }

    static Map<String, Object> plainly(String method, URI address, Map<String, List<String>> headers, byte[] data)
            throws Exception {
        HttpURLConnection connection = (HttpURLConnection) address.toURL().openConnection();
        connection.setRequestMethod(method);
        headers.forEach((name, values) -> {
            if (!name.equalsIgnoreCase("host")) {
                connection.setRequestProperty(name, String.join(",", values));
            }
        });
        if (data != null) {
            connection.setDoOutput(true);
            connection.setFixedLengthStreamingMode(data.length);
            connection.getOutputStream().write(data);
        }
        int status = connection.getResponseCode();
        InputStream answer = status < 400 ? connection.getInputStream() : connection.getErrorStream();
        Map<String, Object> told = digest(answer == null ? InputStream.nullInputStream() : answer);
        told.put("status", status);
        return told;
    }

    static Map<String, Object> createBucket() throws Exception {
        S3.createBucket(asked -> asked.bucket(BUCKET));
        S3.headBucket(asked -> asked.bucket(BUCKET));
        return facts("again", failure(() -> {
            S3.createBucket(asked -> asked.bucket(BUCKET));
            return null;
        }));
    }

    static Map<String, Object> putABuffer() throws Exception {
        PutObjectResponse done = S3.putObject(
                object("buffer é +.png").contentType("image/png").metadata(Map.of("colour", "green")).build(),
                RequestBody.fromBytes(body(70_000)));
        return facts("etag", done.eTag(), "crc32", done.checksumCRC32(), "payload", payload(), "got", read("buffer é +.png"));
    }

    static Map<String, Object> putALargeStream() throws Exception {
        int size = 3 * MEBIBYTE + 17;
        S3.putObject(object("stream").build(), RequestBody.fromInputStream(new ByteArrayInputStream(body(size)), size));
        return facts("payload", payload(), "got", read("stream"));
    }

    static Map<String, Object> putAnEmptyObject() throws Exception {
        S3.putObject(object("empty").build(), RequestBody.empty());
        return facts("got", read("empty"));
    }

    static Map<String, Object> putWithEachChecksum() throws Exception {
        Map<String, Object> told = facts();
        for (String algorithm : List.of("CRC32", "CRC32C", "SHA1", "SHA256")) {
            String key = "sum/" + algorithm;
            S3.putObject(
                    object(key).checksumAlgorithm(ChecksumAlgorithm.fromValue(algorithm)).build(),
                    RequestBody.fromBytes(body(40_000)));
            told.put(algorithm, read(key));
        }
        return told;
    }

    static Map<String, Object> uploadInParts() throws Exception {
        int partSize = 5 * MEBIBYTE;
        byte[] whole = body(12 * MEBIBYTE + 5);
        String key = "parts/by hand é";
        String id = S3.createMultipartUpload(
                        asked -> asked.bucket(BUCKET).key(key).checksumAlgorithm(ChecksumAlgorithm.CRC32))
                .uploadId();
        List<CompletedPart> parts = new ArrayList<>();
        for (int start = 0, number = 1; start < whole.length; start += partSize, number++) {
            int partNumber = number;
            byte[] part = Arrays.copyOfRange(whole, start, Math.min(start + partSize, whole.length));
            var sent = S3.uploadPart(
                    asked -> asked.bucket(BUCKET).key(key).uploadId(id).partNumber(partNumber)
                            .checksumAlgorithm(ChecksumAlgorithm.CRC32),
                    RequestBody.fromBytes(part));
            parts.add(CompletedPart.builder()
                    .partNumber(partNumber).eTag(sent.eTag()).checksumCRC32(sent.checksumCRC32()).build());
        }
        String payload = payload();
        var done = S3.completeMultipartUpload(
                asked -> asked.bucket(BUCKET).key(key).uploadId(id).multipartUpload(made -> made.parts(parts)));
        return facts("payload", payload, "etag", done.eTag(), "location", done.location(), "got", read(key));
    }

    static Map<String, Object> list() throws Exception {
        List<String> written = List.of("list/a", "list/b c", "list/d/e", "list/d/f", "list/ز", "list/+&<>");
        for (String key : written) {
            S3.putObject(object(key).build(), RequestBody.fromString("x"));
        }
        List<String> listed = S3.listObjectsV2Paginator(asked -> asked.bucket(BUCKET).prefix("list/").maxKeys(2))
                .contents().stream().map(S3Object::key).toList();
        return facts("written", written, "listed", listed);
    }

    static Map<String, Object> copyAndDelete() throws Exception {
        S3.putObject(object("copy/a é").metadata(Map.of("a", "1")).build(), RequestBody.fromBytes(body(100)));
        var done = S3.copyObject(asked -> asked
                .sourceBucket(BUCKET).sourceKey("copy/a é").destinationBucket(BUCKET).destinationKey("copy/b"));
        Map<String, Object> copied = read("copy/b");
        List<ObjectIdentifier> both = List.of(
                ObjectIdentifier.builder().key("copy/a é").build(), ObjectIdentifier.builder().key("copy/b").build());
        var deleted = S3.deleteObjects(asked -> asked.bucket(BUCKET).delete(these -> these.objects(both)));
        return facts("etag", done.copyObjectResult().eTag(), "got", copied, "deleted", deleted.deleted().size());
    }

    static Map<String, Object> presigned() throws Exception {
        try (S3Presigner signer = S3Presigner.builder()
                .endpointOverride(URI.create(System.getenv("ENDPOINT")))
                .region(Region.of("default"))
                .credentialsProvider(credentials(System.getenv("SECRET_ACCESS_KEY")))
                .serviceConfiguration(STYLE)
                .build()) {
            String key = "presigned/é +&.png";
            var putting = signer.presignPutObject(asked -> asked.signatureDuration(Duration.ofMinutes(10))
                    .putObjectRequest(object(key).contentType("image/png").build()));
            Map<String, Object> put = plainly("PUT", putting.url().toURI(), putting.signedHeaders(), body(3000));
            var getting = signer.presignGetObject(asked -> asked.signatureDuration(Duration.ofMinutes(10))
                    .getObjectRequest(found -> found.bucket(BUCKET).key(key)));
            Map<String, Object> got = plainly("GET", getting.url().toURI(), getting.signedHeaders(), null);
            return facts("put", put, "get", got, "back", read(key));
        }
    }

    static Map<String, Object> errors() throws Exception {
        S3Client forger = client(credentials("x".repeat(40)));
        return facts(
                "no_key", failure(() -> read("none")),
                "exists", failure(() -> {
                    S3.putObject(object("stream").ifNoneMatch("*").build(), RequestBody.fromBytes(body(100)));
                    return null;
                }),
                "wrong_secret", failure(() -> {
                    forger.putObject(object("forged").build(), RequestBody.fromBytes(body(100)));
                    return null;
                }));
    }

    static AwsCredentialsProvider sessionOf(String name) {
        StsClient sts = StsClient.builder()
                .endpointOverride(URI.create(System.getenv("ENDPOINT")))
                .region(Region.of("default"))
                .credentialsProvider(credentials(System.getenv("SECRET_ACCESS_KEY")))
                .httpClientBuilder(ApacheHttpClient.builder())
                .build();
        return StsAssumeRoleCredentialsProvider.builder()
                .stsClient(sts)
                .refreshRequest(asked -> asked.roleArn(System.getenv("ROLE_ARN")).roleSessionName(name))
                .build();
    }

    static Map<String, Object> endUser() throws Exception {
        String name = System.getenv("END_USER");
        String foreign = System.getenv("FOREIGN_KEY");
        String key = name + "/java é";
        int size = 3 * MEBIBYTE + 17;
        S3 = client(sessionOf(name));
        S3.putObject(object(key).build(), RequestBody.fromInputStream(new ByteArrayInputStream(body(size)), size));
        String payload = payload();
        List<String> listed = S3.listObjectsV2Paginator(asked -> asked.bucket(BUCKET))
                .contents().stream().map(S3Object::key).toList();
        S3Client admin = client(sessionOf("ops"));
        return facts(
                "payload", payload,
                "got", read(key),
                "listed", listed,
                "foreign", failure(() -> read(foreign)),
                "onto", failure(() -> {
                    S3.putObject(object(foreign).build(), RequestBody.fromBytes(body(10)));
                    return null;
                }),
                "admin", failure(() -> {
                    admin.listBuckets();
                    return null;
                }));
    }

    static void write(JsonWriter json, Object value) {
        if (value == null) {
            json.writeNull();
        } else if (value instanceof Map<?, ?> map) {
            json.writeStartObject();
            map.forEach((name, inner) -> {
                json.writeFieldName((String) name);
                write(json, inner);
            });
            json.writeEndObject();
        } else if (value instanceof List<?> list) {
            json.writeStartArray();
            list.forEach(inner -> write(json, inner));
            json.writeEndArray();
        } else if (value instanceof Integer number) {
            json.writeValue(number);
        } else {
            json.writeValue(value.toString());
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("create_bucket", Wire::createBucket);
        cases.put("put_a_buffer", Wire::putABuffer);
        cases.put("put_a_large_stream", Wire::putALargeStream);
        cases.put("put_an_empty_object", Wire::putAnEmptyObject);
        cases.put("put_with_each_checksum", Wire::putWithEachChecksum);
        cases.put("upload_in_parts", Wire::uploadInParts);
        cases.put("list", Wire::list);
        cases.put("copy_and_delete", Wire::copyAndDelete);
        cases.put("presigned", Wire::presigned);
        cases.put("errors", Wire::errors);
        if (System.getenv("END_USER") != null) {
            cases.clear();
            cases.put("end_user", Wire::endUser);
        }
        Map<String, Object> results = new LinkedHashMap<>();
        cases.forEach((name, run) -> {
            try {
                results.put(name, facts("facts", run.run()));
            } catch (Exception error) {
                results.put(name, facts("error", error.toString()));
            }
        });
        JsonWriter json = JsonWriter.create();
        write(json, results);
        System.out.write(json.getBytes());
        System.out.flush();
    }
}
