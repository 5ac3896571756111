package crossdock.compat;

import java.util.HashMap;
import java.util.Map;

/** What the harness told the driver, as {@code key=value} arguments. */
public final class Settings {
    private final Map<String, String> values = new HashMap<>();

    public Settings(String[] arguments) {
        for (String argument : arguments) {
            int at = argument.indexOf('=');
            if (at < 0) {
                throw new IllegalArgumentException("not key=value: " + argument);
            }
            values.put(argument.substring(0, at), argument.substring(at + 1));
        }
    }

    public String get(String key) {
        String value = values.get(key);
        if (value == null) {
            throw new Check.Skipped("the harness gave no " + key);
        }
        return value;
    }

    public String get(String key, String otherwise) {
        return values.getOrDefault(key, otherwise);
    }
}
