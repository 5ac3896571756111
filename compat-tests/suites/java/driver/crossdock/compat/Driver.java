package crossdock.compat;

import crossdock.compat.cases.AdminCases;
import crossdock.compat.cases.ConsumeCases;
import crossdock.compat.cases.DelayCases;
import crossdock.compat.cases.MixedCases;
import crossdock.compat.cases.MqadminCases;
import crossdock.compat.cases.MqadminGroupCases;
import crossdock.compat.cases.MqadminSignedCases;
import crossdock.compat.cases.OrderCases;
import crossdock.compat.cases.PopCases;
import crossdock.compat.cases.PullCases;
import crossdock.compat.cases.QueryCases;
import crossdock.compat.cases.RebalanceCases;
import crossdock.compat.cases.RequestCases;
import crossdock.compat.cases.RestartCases;
import crossdock.compat.cases.RetryCases;
import crossdock.compat.cases.SecurityCases;
import crossdock.compat.cases.SendCases;
import crossdock.compat.cases.SqlCases;
import crossdock.compat.cases.TimerCases;
import crossdock.compat.cases.TraceCases;
import crossdock.compat.cases.TransactionCases;
import crossdock.compat.cases.WireCases;
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
 * Runs the cases with the client it was compiled against. Standard output carries only the conversation with the
 * harness: {@code CASES names}, then {@code PASS name}, {@code FAIL name: reason} or {@code SKIP name: reason} for
 * each, {@code CONTROL word} when the harness shall do something to the server and answer {@code ok}, and
 * {@code DONE}.
 */
public final class Driver {
    private final Settings settings;
    private final PrintStream out;
    private final BufferedReader in;

    private Driver(Settings settings, PrintStream out) {
        this.settings = settings;
        this.out = out;
        this.in = new BufferedReader(new InputStreamReader(System.in));
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = System.out;
        // Whatever a library prints must not look like a result.
        System.setOut(System.err);
        Settings settings = new Settings(arguments);
        Driver driver = new Driver(settings, out);
        switch (settings.get("mode", "suite")) {
            case "suite" -> driver.run();
            case "member" -> Member.run(settings, out);
            default -> throw new IllegalArgumentException("unknown mode");
        }
        // Client threads that are still winding down must not hold up the harness.
        Runtime.getRuntime().halt(0);
    }

    private List<Case> cases() {
        List<Case> all = new ArrayList<>();
        switch (settings.get("suite", "java")) {
            case "mixed" -> MixedCases.addTo(all);
            case "mqadmin" -> {
                MqadminGroupCases.addTo(all);
                MqadminCases.addTo(all);
            }
            case "mqadmin-signed" -> MqadminSignedCases.addTo(all);
            default -> {
                // The longest first, so that they overlap with all others.
                RetryCases.addTo(all);
                RebalanceCases.addTo(all);
                WireCases.addTo(all);
                DelayCases.addTo(all);
                TransactionCases.addTo(all);
                PopCases.addTo(all);
                TraceCases.addTo(all);
                TimerCases.addTo(all);
                RequestCases.addTo(all);
                OrderCases.addTo(all);
                ConsumeCases.addTo(all);
                PullCases.addTo(all);
                SqlCases.addTo(all);
                SendCases.addTo(all);
                QueryCases.addTo(all);
                AdminCases.addTo(all);
                SecurityCases.addTo(all);
                RestartCases.addTo(all);
            }
        }
        List<String> only = Arrays.stream(settings.get("only", "").split(",")).filter(word -> !word.isEmpty()).toList();
        return all.stream().filter(test -> only.isEmpty() || only.stream().anyMatch(test.name()::contains)).toList();
    }

    private void run() throws Exception {
        Mqadmin.prepare(settings);
        List<Case> cases = cases();
        say("CASES " + String.join(" ", cases.stream().map(Case::name).toList()));
        ExecutorService pool = Executors.newFixedThreadPool(Integer.parseInt(settings.get("parallel", "10")));
        cases.stream().filter(test -> test.kind() == Case.Kind.SHARED).forEach(test -> pool.execute(() -> run(test)));
        pool.shutdown();
        pool.awaitTermination(1, TimeUnit.HOURS);
        cases.stream().filter(test -> test.kind() == Case.Kind.ALONE).forEach(this::run);
        say("DONE");
    }

    private void run(Case test) {
        long start = System.nanoTime();
        String line;
        try (Scope scope = new Scope(this, settings, test.name())) {
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
    public void control(String word) throws IOException {
        say("CONTROL " + word);
        String answer = in.readLine();
        Check.equal("ok", answer, "answer of the harness to " + word);
    }

    private void say(String line) {
        synchronized (out) {
            out.println(line);
            out.flush();
        }
    }
}
