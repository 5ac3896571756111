package crossdock.compat.grpc.cases;

import crossdock.compat.Check;
import crossdock.compat.grpc.Case;
import crossdock.compat.grpc.Inbox;
import crossdock.compat.grpc.Scope;
import java.util.List;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientConfigurationBuilder;
import org.apache.rocketmq.client.apis.StaticSessionCredentialsProvider;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;

/** Signatures and TLS. */
public final class SecurityCases {
    private SecurityCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("auth_right", scope -> right(scope, false)));
        cases.add(Case.shared("auth_right_over_tls", scope -> right(scope, true)));
        cases.add(Case.shared("auth_wrong", SecurityCases::wrong));
        cases.add(Case.shared("auth_is_ignored_where_none_is_asked", SecurityCases::ignored));
        cases.add(Case.shared("tls_round_trip", SecurityCases::tls));
    }

    private static ClientConfigurationBuilder signed(Scope scope, String access, String secret) {
        return scope.configuration().setEndpoints(scope.settings.get("secured"))
                .setCredentialProvider(new StaticSessionCredentialsProvider(access, secret));
    }

    private static void roundTrip(Scope scope, ClientConfiguration configuration, String topic, String group)
            throws Exception {
        Inbox inbox = new Inbox();
        scope.push(configuration, group, topic, FilterExpression.SUB_ALL, inbox.listener());
        var producer = scope.producer(configuration, null, topic);
        List<String> bodies = Scope.texts("r-", 10);
        for (String body : bodies) {
            producer.send(Scope.plain(topic, body));
        }
        inbox.awaitExactly(bodies, Scope.LIMIT_MS);
    }

    private static void right(Scope scope, boolean isTls) throws Exception {
        String topic = scope.freshTopic("");
        String group = scope.freshGroup("");
        scope.driver.control("secured-topic " + topic + " NORMAL 4");
        scope.driver.control("secured-group " + group + " concurrent 16");
        roundTrip(scope, signed(scope, scope.settings.get("access"), scope.settings.get("secret")).enableSsl(isTls)
                .build(), topic, group);
    }

    private static void wrong(Scope scope) throws Exception {
        String topic = scope.freshTopic("");
        String group = scope.freshGroup("");
        scope.driver.control("secured-topic " + topic + " NORMAL 4");
        scope.driver.control("secured-group " + group + " concurrent 16");
        String access = scope.settings.get("access");
        String secret = scope.settings.get("secret");
        List<ClientConfigurationBuilder> wrong = List.of(signed(scope, access, "not-the-secret"),
                signed(scope, "nobody", secret), scope.configuration().setEndpoints(scope.settings.get("secured")));
        for (ClientConfigurationBuilder one : wrong) {
            ClientConfiguration configuration = one.setMaxStartupAttempts(1).build();
            unauthorized(Check.fails("a producer", () -> scope.producer(configuration, null, topic)));
            unauthorized(Check.fails("a send", () -> scope.producer(configuration, null)
                    .send(Scope.plain(topic, "secret"))));
            unauthorized(Check.fails("a consumer", () -> scope.simple(configuration, group, topic,
                    FilterExpression.SUB_ALL)));
        }
        SimpleConsumer consumer = scope.simple(signed(scope, access, secret).build(), group, topic,
                FilterExpression.SUB_ALL);
        Scope.nothingMore(consumer, "from those without the secret");
    }

    private static void unauthorized(Throwable error) {
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            if (cause.toString().contains("40100")) {
                return;
            }
        }
        throw new Check.Failed("refused otherwise", error);
    }

    private static void ignored(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        roundTrip(scope, signed(scope, "anyone", "anything").setEndpoints(scope.settings.get("grpc")).build(), topic,
                scope.group());
    }

    private static void tls(Scope scope) throws Exception {
        String topic = scope.topic("NORMAL");
        roundTrip(scope, scope.configuration().enableSsl(true).build(), topic, scope.group());
    }
}
