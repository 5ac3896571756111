package crossdock.compat.grpc;

/** One named test. */
public record Case(String name, boolean alone, Body body) {
    public interface Body {
        void run(Scope scope) throws Exception;
    }

    /** May run beside others. */
    public static Case shared(String name, Body body) {
        return new Case(name, false, body);
    }

    /** Disturbs the server; runs alone, after the shared ones. */
    public static Case alone(String name, Body body) {
        return new Case(name, true, body);
    }
}
