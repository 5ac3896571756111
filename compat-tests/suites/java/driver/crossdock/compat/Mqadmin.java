package crossdock.compat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/** The command line tool, unmodified: its main class, with what it prints. */
public final class Mqadmin {
    private static final Object ALONE = new Object();

    private final Scope scope;

    public Mqadmin(Scope scope) {
        this.scope = scope;
    }

    /** Where the tool looks for the credentials it signs with; before its first use, and once for the process. */
    public static void prepare(Settings settings) throws IOException {
        Path home = Path.of(System.getProperty("user.home"), "rocketmq");
        Path conf = Files.createDirectories(home.resolve("conf"));
        System.setProperty("rocketmq.home.dir", home.toString());
        if (!settings.get("acl.access", "").isEmpty()) {
            Files.writeString(conf.resolve("tools.yml"), "accessKey: " + settings.get("acl.access") + "\nsecretKey: "
                    + settings.get("acl.secret") + "\n");
        }
    }

    /** Runs a subcommand; answers what it wrote to standard output, and what to standard error. */
    public Output run(String... arguments) throws Exception {
        List<String> all = new ArrayList<>(List.of(arguments));
        all.add("-n");
        all.add(scope.nameserver);
        synchronized (ALONE) {
            // A process of the tool runs one command; its commands cannot be run twice.
            commands().clear();
            PrintStream out = System.out;
            PrintStream err = System.err;
            ByteArrayOutputStream said = new ByteArrayOutputStream();
            ByteArrayOutputStream complained = new ByteArrayOutputStream();
            System.setOut(new PrintStream(said, true, StandardCharsets.UTF_8));
            System.setErr(new PrintStream(complained, true, StandardCharsets.UTF_8));
            try {
                MQAdminStartup.main(all.toArray(new String[0]));
            } finally {
                System.setOut(out);
                System.setErr(err);
            }
            Output output = new Output(String.join(" ", arguments), said.toString(StandardCharsets.UTF_8),
                    complained.toString(StandardCharsets.UTF_8));
            System.err.println(output);
            return output;
        }
    }

    private static List<?> commands() throws IllegalAccessException {
        for (Field field : MQAdminStartup.class.getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) && List.class.isAssignableFrom(field.getType())) {
                field.setAccessible(true);
                return (List<?>) field.get(null);
            }
        }
        throw new IllegalStateException("the tool keeps its commands elsewhere");
    }

    /** What a subcommand printed. */
    public record Output(String command, String out, String err) {
        /** Each of the texts is in the standard output, in this order. */
        public Output shows(String... texts) {
            int at = 0;
            for (String text : texts) {
                int found = out.indexOf(text, at);
                Check.that(found >= 0, "%s shows no \"%s\" after %d: %s%s", command, text, at, out, err);
                at = found + text.length();
            }
            return this;
        }

        public Output hides(String text) {
            Check.that(!out.contains(text), "%s shows \"%s\": %s", command, text, out);
            return this;
        }

        /** The command failed, and says why. */
        public Output fails(String... texts) {
            for (String text : texts) {
                Check.that((out + err).contains(text), "%s does not fail with \"%s\": %s%s", command, text, out, err);
            }
            return this;
        }

        /** The first line of the standard output that begins with the text, split at white space. */
        public String[] row(String text) {
            String line = out.lines().filter(candidate -> candidate.startsWith(text)).findFirst().orElse(null);
            Check.that(line != null, "%s has no line \"%s…\": %s%s", command, text, out, err);
            return line.trim().split("\\s+");
        }

        /** The rest of the first line that holds the text, behind it. */
        public String behind(String text) {
            String line = out.lines().filter(candidate -> candidate.contains(text)).findFirst().orElse(null);
            Check.that(line != null, "%s has no \"%s\": %s%s", command, text, out, err);
            return line.substring(line.indexOf(text) + text.length()).trim();
        }

        /** True if the command printed the text. */
        public boolean has(String text) {
            return out.contains(text);
        }
    }
}
