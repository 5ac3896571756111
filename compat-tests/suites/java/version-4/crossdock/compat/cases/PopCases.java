package crossdock.compat.cases;

import crossdock.compat.Case;
import java.util.List;

/** The 4.x client does not pop. */
public final class PopCases {
    private PopCases() {}

    public static void addTo(List<Case> cases) {
        // Nothing it could do.
    }
}
