package crossdock.compat.grpc;

import crossdock.compat.Check;
import crossdock.compat.Settings;
import crossdock.compat.grpc.cases.CrossCases;
import crossdock.compat.grpc.cases.ErrorCases;
import crossdock.compat.grpc.cases.PushCases;
import crossdock.compat.grpc.cases.RestartCases;
import crossdock.compat.grpc.cases.SecurityCases;
import crossdock.compat.grpc.cases.SendCases;
import crossdock.compat.grpc.cases.SimpleCases;
import crossdock.compat.grpc.cases.TimedCases;
import crossdock.compat.grpc.cases.TransactionCases;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;

/**
 * Runs the cases of the gRPC client. Standard output carries only the conversation with the harness: {@code CASES
 * names}, then {@code PASS name}, {@code FAIL name: reason} or {@code SKIP name: reason} for each, {@code CONTROL
 * words} when the harness shall do something to the server and answer {@code ok}, and {@code DONE}.
 */
public final class Driver {
    /** Most cases only wait. */
    private static final int PARALLEL = 8;

    private final Settings settings;
    private final PrintStream out;
    private final BufferedReader in;
    private final Object control = new Object();

    private Driver(Settings settings, PrintStream out) {
        this.settings = settings;
        this.out = out;
        this.in = new BufferedReader(new InputStreamReader(System.in));
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = System.out;
        // Whatever a library prints must not look like a result.
        System.setOut(System.err);
        new Driver(new Settings(arguments), out).run();
        // Client threads that are still winding down must not hold up the harness.
        Runtime.getRuntime().halt(0);
    }

    private List<Case> cases() {
        List<Case> all = new ArrayList<>();
        // The longest first, so that they overlap with all others.
        PushCases.addTo(all);
        SimpleCases.addTo(all);
        TransactionCases.addTo(all);
        TimedCases.addTo(all);
        SendCases.addTo(all);
        CrossCases.addTo(all);
        ErrorCases.addTo(all);
        SecurityCases.addTo(all);
        RestartCases.addTo(all);
        List<String> only = Arrays.stream(settings.get("only", "").split(",")).filter(word -> !word.isEmpty()).toList();
        return all.stream().filter(test -> only.isEmpty() || only.stream().anyMatch(test.name()::contains)).toList();
    }

    private void run() throws Exception {
        List<Case> cases = cases();
        say("CASES " + String.join(" ", cases.stream().map(Case::name).toList()));
        ExecutorService pool = Executors.newFixedThreadPool(PARALLEL);
        cases.stream().filter(test -> !test.alone()).forEach(test -> pool.execute(() -> run(test)));
        pool.shutdown();
        pool.awaitTermination(1, TimeUnit.HOURS);
        cases.stream().filter(Case::alone).forEach(this::run);
        say("DONE");
    }

    private void run(Case test) {
        long start = System.nanoTime();
        String line;
        Scope scope = new Scope(this, settings, test.name());
        try {
            test.body().run(scope);
            line = "PASS " + test.name();
        } catch (Check.Skipped skipped) {
            line = "SKIP " + test.name() + ": " + skipped.getMessage();
        } catch (Throwable error) {
            StringWriter trace = new StringWriter();
            error.printStackTrace(new PrintWriter(trace));
            System.err.println(test.name() + " failed: " + trace);
            line = "FAIL " + test.name() + ": " + reason(error);
        }
        say(line);
        System.err.printf("%s took %d ms%n", test.name(), (System.nanoTime() - start) / 1_000_000);
        // A push consumer waits for its open polls, 20 s or so; no other case needs to.
        Thread closer = new Thread(scope::close, "close-" + test.name());
        closer.setDaemon(true);
        closer.start();
    }

    private static String reason(Throwable error) {
        String text = error instanceof Check.Failed ? error.getMessage() : String.valueOf(error);
        if (error.getCause() != null) {
            text += " (" + error.getCause() + ")";
        }
        text = text.replaceAll("\\s+", " ");
        return text.length() > 400 ? text.substring(0, 400) + "…" : text;
    }

    /** Lets the harness do something to the server and waits until it has. */
    public void control(String words) throws IOException {
        String answer;
        synchronized (control) {
            say("CONTROL " + words);
            answer = in.readLine();
        }
        Check.equal("ok", answer, "answer of the harness to " + words);
    }

    private void say(String line) {
        synchronized (out) {
            out.println(line);
            out.flush();
        }
    }
}
