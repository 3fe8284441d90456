// Calls by Java's HttpClient over HTTP/2, a plan of them on one client: see calls.rs.
import java.io.FileInputStream;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.Arrays;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Calls {
    public static void main(String[] args) throws Exception {
        var store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null, null);
        try (var file = new FileInputStream(args[1])) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        var trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);
        var tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);
        var client = HttpClient.newBuilder().sslContext(tls).build();
        boolean untilRefused = args[3].equals("until-refused");
        var lines = Files.readAllLines(Path.of(args[2]));
        int calls = 0, lost = 0;
        boolean refused = false;
        do {
            for (var line : lines) {
                var word = line.split("\t", -1);
                if (word[0].equals("PAUSE")) {
                    Thread.sleep(Long.parseLong(word[2]));
                    continue;
                }
                var body = new byte[Integer.parseInt(word[2])];
                Arrays.fill(body, (byte) 'x');
                var publisher = word[0].equals("POST") ? HttpRequest.BodyPublishers.ofByteArray(body) : HttpRequest.BodyPublishers.noBody();
                var request = HttpRequest.newBuilder(URI.create(args[0] + word[1])).method(word[0], publisher).timeout(Duration.ofSeconds(20));
                if (!word[4].isEmpty()) {
                    request.header(word[4].split(": ")[0], word[4].split(": ")[1]);
                }
                calls++;
                String reason;
                try {
                    var answer = client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
                    reason = answer.version() == HttpClient.Version.HTTP_2 ? String.valueOf(answer.statusCode()) : "not HTTP/2";
                } catch (ConnectException error) {
                    reason = error.toString();
                    if (untilRefused) {
                        calls--;
                        refused = true;
                        break;
                    }
                } catch (Exception error) {
                    reason = error.toString();
                }
                if (!Arrays.asList(word[3].split(",")).contains(reason)) {
                    lost++;
                    System.out.println("LOST " + word[0] + " " + word[1] + " " + word[2] + ": " + reason);
                }
            }
        } while (untilRefused && !refused);
        System.out.println("DONE " + calls + " " + lost);
        System.exit(0);
    }
}
