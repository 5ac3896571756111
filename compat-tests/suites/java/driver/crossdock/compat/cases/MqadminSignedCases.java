package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Mqadmin;
import crossdock.compat.Scope;
import java.util.List;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.common.message.Message;

/** Users and what they may do, on a server that demands signed requests; the tool signs with the file it reads. */
public final class MqadminSignedCases {
    private MqadminSignedCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("signed_clusterList", MqadminSignedCases::clusterList));
        cases.add(Case.shared("signed_updateTopic", MqadminSignedCases::topics));
        cases.add(Case.shared("createUser", MqadminSignedCases::createUser));
        cases.add(Case.shared("updateUser", MqadminSignedCases::updateUser));
        cases.add(Case.shared("getUser", MqadminSignedCases::getUser));
        cases.add(Case.shared("listUser", MqadminSignedCases::listUser));
        cases.add(Case.shared("deleteUser", MqadminSignedCases::deleteUser));
        cases.add(Case.shared("createAcl", MqadminSignedCases::createAcl));
        cases.add(Case.shared("updateAcl", MqadminSignedCases::updateAcl));
        cases.add(Case.shared("getAcl", MqadminSignedCases::getAcl));
        cases.add(Case.shared("listAcl", MqadminSignedCases::listAcl));
        cases.add(Case.shared("deleteAcl", MqadminSignedCases::deleteAcl));
    }

    private static Scope as(Scope scope, String user, String password) {
        return scope.with(scope.nameserver, scope.broker, new AclClientRPCHook(new SessionCredentials(user, password)));
    }

    /** The same case, whose own clients sign as the administrator. */
    private static Scope admin(Scope scope) {
        return as(scope, scope.settings.get("acl.access"), scope.settings.get("acl.secret"));
    }

    private static String user(Scope scope) {
        return scope.group("user");
    }

    private static Mqadmin.Output create(Scope scope, String user, String... more) throws Exception {
        java.util.ArrayList<String> all = new java.util.ArrayList<>(
                List.of("createUser", "-b", scope.broker, "-u", user, "-p", "secret-" + user));
        all.addAll(List.of(more));
        return new Mqadmin(scope).run(all.toArray(new String[0])).shows("create user to " + scope.broker + " success.");
    }

    private static void clusterList(Scope scope) throws Exception {
        new Mqadmin(scope).run("clusterList").shows(scope.broker);
    }

    private static void topics(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.freshTopic("");
        mqadmin.run("updateTopic", "-b", scope.broker, "-t", topic, "-r", "1", "-w", "1").shows("success");
        mqadmin.run("sendMessage", "-t", topic, "-p", "signed").shows("SEND_OK");
        mqadmin.run("printMsg", "-t", topic).shows("BODY: signed");
    }

    private static void createUser(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        create(scope, user(scope));
        // The new user exists and signs; it is no administrator.
        if (!MqadminCases.isApache(scope)) {
            // The Apache broker of the tests knows who asks and lets everybody do everything.
            Exception refusal = Check.fails("a question of a user without rights", () -> as(scope, user(scope),
                    "secret-" + user(scope)).admin().examineTopicConfig(scope.broker, "TBW102"));
            Check.that(refusal.toString().contains("may not"), "refused otherwise: %s", refusal);
        }
        mqadmin.run("createUser", "-b", scope.broker, "-u", user(scope), "-p", "x").hides("success");
        create(scope, scope.group("super"), "-t", "Super");
        as(scope, scope.group("super"), "secret-" + scope.group("super")).admin().examineTopicConfig(scope.broker, "TBW102");
    }

    private static void updateUser(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String name = user(scope);
        create(scope, name, "-t", "Super");
        mqadmin.run("updateUser", "-b", scope.broker, "-u", name, "-p", "changed")
                .shows("update user to " + scope.broker + " success.");
        as(scope, name, "changed").admin().examineTopicConfig(scope.broker, "TBW102");
        mqadmin.run("updateUser", "-b", scope.broker, "-u", name, "-s", "disable")
                .shows("update user to " + scope.broker + " success.");
        Check.fails("a question of a disabled user",
                () -> as(scope, name, "changed").admin().examineTopicConfig(scope.broker, "TBW102"));
        mqadmin.run("updateUser", "-b", scope.broker, "-u", scope.group("nobody"), "-p", "x").hides("success");
    }

    private static void getUser(Scope scope) throws Exception {
        create(scope, user(scope));
        String[] row = new Mqadmin(scope).run("getUser", "-b", scope.broker, "-u", user(scope)).row(user(scope));
        Check.equal("Normal", row[row.length - 2], "type");
        Check.equal("enable", row[row.length - 1], "status");
        new Mqadmin(scope).run("getUser", "-b", scope.broker, "-u", scope.group("nobody")).hides("Normal");
    }

    private static void listUser(Scope scope) throws Exception {
        create(scope, scope.group("a"));
        create(scope, scope.group("b"));
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("listUser", "-b", scope.broker).shows(scope.settings.get("acl.access"));
        mqadmin.run("listUser", "-b", scope.broker, "-f", scope.group("b")).shows(scope.group("b")).hides(scope.group("a"));
    }

    private static void deleteUser(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        create(scope, user(scope));
        mqadmin.run("deleteUser", "-b", scope.broker, "-u", user(scope)).shows("delete user to " + scope.broker + " success.");
        mqadmin.run("listUser", "-b", scope.broker).hides(user(scope));
    }

    private static String subject(Scope scope) {
        return "User:" + user(scope);
    }

    private static Mqadmin.Output rule(Scope scope, String command, String resource, String actions, String decision)
            throws Exception {
        return new Mqadmin(scope).run(command, "-b", scope.broker, "-s", subject(scope), "-r", resource, "-a", actions,
                "-d", decision);
    }

    private static void createAcl(Scope scope) throws Exception {
        create(scope, user(scope));
        String topic = admin(scope).topic(1);
        Message message = Scope.message(topic, "x");
        boolean enforced = !MqadminCases.isApache(scope);
        if (enforced) {
            Check.fails("a send without a rule",
                    () -> as(scope, user(scope), "secret-" + user(scope)).producer().send(message));
        }
        rule(scope, "createAcl", "Topic:" + topic, "Pub,Sub", "Allow")
                .shows("create acl to " + scope.broker + " success.");
        Scope.stored(as(scope, user(scope), "secret-" + user(scope)).producer().send(message));
        rule(scope, "createAcl", "Nonsense:" + topic, "Pub", "Allow").hides("success");
        rule(scope, "createAcl", "Topic:" + topic, "Fly", "Allow").hides("success");
        rule(scope, "createAcl", "Topic:" + topic, "Pub", "Maybe").hides("success");
        new Mqadmin(scope).run("createAcl", "-b", scope.broker, "-s", "User:" + scope.group("nobody"), "-r", "Topic:*", "-a",
                "Pub", "-d", "Allow").hides("success");
    }

    private static void updateAcl(Scope scope) throws Exception {
        create(scope, user(scope));
        rule(scope, "createAcl", "Topic:one", "Pub", "Allow").shows("success");
        rule(scope, "updateAcl", "Topic:one", "Sub", "Deny").shows("update acl to " + scope.broker + " success.");
        rule(scope, "updateAcl", "Group:two", "Sub", "Allow").shows("success");
        var output = new Mqadmin(scope).run("getAcl", "-b", scope.broker, "-s", subject(scope));
        Check.that(output.row(subject(scope)).length > 4, "too short: %s", output.out());
        output.shows("Deny").shows("Group:two").hides("[Pub]");
    }

    private static void getAcl(Scope scope) throws Exception {
        create(scope, user(scope));
        rule(scope, "createAcl", "Topic:t*", "Pub,Sub", "Allow").shows("success");
        new Mqadmin(scope).run("getAcl", "-b", scope.broker, "-s", subject(scope)).shows(subject(scope), "Custom",
                "Topic:t*", "[Pub, Sub]", "Allow");
        new Mqadmin(scope).run("getAcl", "-b", scope.broker, "-s", "User:" + scope.group("nobody")).hides("Allow");
    }

    private static void listAcl(Scope scope) throws Exception {
        create(scope, user(scope));
        rule(scope, "createAcl", "Topic:listed", "Pub", "Allow").shows("success");
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("listAcl", "-b", scope.broker).shows(subject(scope));
        mqadmin.run("listAcl", "-b", scope.broker, "-s", user(scope)).shows(subject(scope), "Topic:listed");
        mqadmin.run("listAcl", "-b", scope.broker, "-s", user(scope), "-r", "Topic:other").hides("Topic:listed");
    }

    private static void deleteAcl(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        create(scope, user(scope));
        rule(scope, "createAcl", "Topic:one", "Pub", "Allow").shows("success");
        rule(scope, "createAcl", "Topic:two", "Pub", "Allow").shows("success");
        mqadmin.run("deleteAcl", "-b", scope.broker, "-s", subject(scope), "-r", "Topic:one")
                .shows("delete acl to " + scope.broker + " success.");
        mqadmin.run("getAcl", "-b", scope.broker, "-s", subject(scope)).shows("Topic:two").hides("Topic:one");
        mqadmin.run("deleteAcl", "-b", scope.broker, "-s", subject(scope)).shows("success");
        mqadmin.run("getAcl", "-b", scope.broker, "-s", subject(scope)).hides("Topic:two");
    }
}
