package crossdock.compat;

/** One named test. */
public record Case(String name, Kind kind, Body body) {
    public enum Kind {
        /** May run beside others. */
        SHARED,
        /** Disturbs the server; runs alone, after the shared ones. */
        ALONE
    }

    public interface Body {
        void run(Scope scope) throws Exception;
    }

    public static Case shared(String name, Body body) {
        return new Case(name, Kind.SHARED, body);
    }

    public static Case alone(String name, Body body) {
        return new Case(name, Kind.ALONE, body);
    }
}
