// Reads paths, a line of hexadecimal digits each, and prints what each normaliser of Java makes of them; "!" if it
// refuses. The first line has the names of those that read paths, the second of those that write URLs.

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URL;
import java.net.URLDecoder;
import java.nio.file.Path;
import java.text.Normalizer;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

class Normalise {
    interface Normaliser {
        String of(String path) throws Exception;
    }

    static final Map<String, Normaliser> READERS = new LinkedHashMap<>();
    static final Map<String, Normaliser> WRITERS = new LinkedHashMap<>();

    static {
        READERS.put("URI", path -> new URI(path).getPath());
        READERS.put("URI, raw", path -> new URI(path).getRawPath());
        READERS.put("URI.normalize", path -> new URI(path).normalize().getPath());
        READERS.put("URI.resolve", path -> URI.create("http://h/x/y").resolve(path).getPath());
        READERS.put("URI of a URL", path -> new URI("http://h" + path).toASCIIString().substring(8));
        READERS.put("URL", path -> new URL("http://h" + path).getPath());
        READERS.put("URLDecoder", path -> URLDecoder.decode(path, UTF_8));
        READERS.put("Path.normalize", path -> Path.of(path).normalize().toString());
        READERS.put("NFC", path -> Normalizer.normalize(path, Normalizer.Form.NFC));
        READERS.put("NFKC", path -> Normalizer.normalize(path, Normalizer.Form.NFKC));
        WRITERS.put("URI of a path", path -> new URI("http", "h", path, null).getRawPath());
        WRITERS.put("Path.toUri", path -> Path.of(path).toUri().getRawPath());
    }

    public static void main(String[] arguments) throws Exception {
        HexFormat hex = HexFormat.of();
        for (Map<String, Normaliser> normalisers : List.of(READERS, WRITERS)) {
            List<String> names = new ArrayList<>();
            normalisers.keySet().forEach(name -> names.add(hex.formatHex(name.getBytes(UTF_8))));
            System.out.println(String.join(" ", names));
        }
        List<Normaliser> all = new ArrayList<>(READERS.values());
        all.addAll(WRITERS.values());
        StringBuilder output = new StringBuilder();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String path = new String(hex.parseHex(line), UTF_8);
            List<String> words = new ArrayList<>();
            for (Normaliser normaliser : all) {
                try {
                    words.add(hex.formatHex(normaliser.of(path).getBytes(UTF_8)));
                } catch (Exception refusal) {
                    words.add("!");
                }
            }
            output.append(String.join(" ", words)).append('\n');
        }
        System.out.print(output);
    }
}
