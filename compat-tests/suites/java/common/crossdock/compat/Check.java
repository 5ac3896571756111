package crossdock.compat;

import java.util.Objects;
import java.util.concurrent.Callable;

/** Assertions, and waiting for a condition within a time limit. */
public final class Check {
    private static final long POLL_MS = 10;

    private Check() {}

    public static final class Failed extends RuntimeException {
        public Failed(String message, Throwable cause) {
            super(message, cause);
        }
    }

    /** Thrown where this client or server has no such feature. */
    public static final class Skipped extends RuntimeException {
        public Skipped(String reason) {
            super(reason);
        }
    }

    public static void that(boolean condition, String otherwise, Object... values) {
        if (!condition) {
            throw new Failed(String.format(otherwise, values), null);
        }
    }

    public static void equal(Object expected, Object actual, String what) {
        that(Objects.equals(expected, actual), "%s: expected %s, got %s", what, expected, actual);
    }

    public static void between(long low, long high, long actual, String what) {
        that(low <= actual && actual <= high, "%s: expected %d to %d, got %d", what, low, high, actual);
    }

    /** Waits until the condition holds; an exception from it counts as "not yet" and is shown at the end. */
    public static void await(String what, long limitMs, Callable<Boolean> condition) throws InterruptedException {
        long deadline = System.nanoTime() + limitMs * 1_000_000;
        Exception last = null;
        while (true) {
            try {
                if (condition.call()) {
                    return;
                }
                last = null;
            } catch (InterruptedException interrupted) {
                throw interrupted;
            } catch (Exception error) {
                last = error;
            }
            if (System.nanoTime() > deadline) {
                throw new Failed(what + " did not happen within " + limitMs + " ms", last);
            }
            Thread.sleep(POLL_MS);
        }
    }

    /** The exception that the action must throw. */
    public static Exception fails(String what, Callable<?> action) {
        Object result;
        try {
            result = action.call();
        } catch (Exception expected) {
            return expected;
        }
        throw new Failed(what + " succeeded: " + result, null);
    }
}
