package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Scope;
import crossdock.compat.Version;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Topics, groups, routes, cluster and configuration values through the admin client. */
public final class AdminCases {
    private static final int TOPIC_NOT_EXIST = 17;
    private static final int QUERY_NOT_FOUND = 22;

    private AdminCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("admin_cluster_and_route", AdminCases::cluster));
        cases.add(Case.shared("admin_topic_life_cycle", AdminCases::topics));
        cases.add(Case.shared("admin_group_life_cycle", AdminCases::groups));
        cases.add(Case.shared("admin_kv_config", AdminCases::values));
    }

    /** The code that a server's refusal carries, whichever exception the client wraps it in. */
    static int code(Throwable error) {
        for (Throwable at = error; at != null; at = at.getCause()) {
            if (at instanceof MQClientException client && client.getResponseCode() > 0) {
                return client.getResponseCode();
            }
            if (at instanceof MQBrokerException broker) {
                return broker.getResponseCode();
            }
        }
        throw new IllegalArgumentException("no code in " + error, error);
    }

    private static void failsWith(int code, String what, Callable<?> action) {
        Check.equal(code, code(Check.fails(what, action)), "code of " + what);
    }

    private static void cluster(Scope scope) throws Exception {
        DefaultMQAdminExt admin = scope.admin();
        var info = admin.examineBrokerClusterInfo();
        var brokers = info.getBrokerAddrTable().values().stream()
                .filter(data -> scope.broker.equals(data.getBrokerAddrs().get(0L))).toList();
        Check.equal(1, brokers.size(), "brokers at " + scope.broker + " in " + info.getBrokerAddrTable());
        String name = brokers.get(0).getBrokerName();
        String cluster = brokers.get(0).getCluster();
        Check.that(info.getClusterAddrTable().get(cluster).contains(name), "%s is not in %s", name, cluster);

        String topic = scope.topic(3);
        var route = admin.examineTopicRouteInfo(topic);
        var brokerData = route.getBrokerDatas().stream().filter(data -> data.getBrokerName().equals(name)).toList();
        Check.equal(1, brokerData.size(), "brokers in the route");
        Check.equal(scope.broker, brokerData.get(0).getBrokerAddrs().get(0L), "master in the route");
        Check.equal(cluster, brokerData.get(0).getCluster(), "cluster in the route");
        var queues = route.getQueueDatas().get(0);
        Check.equal(name, queues.getBrokerName(), "broker of the queues");
        Check.equal(3, queues.getReadQueueNums(), "read queues");
        Check.equal(3, queues.getWriteQueueNums(), "write queues");
        Check.equal(6, queues.getPerm(), "permission");
        failsWith(TOPIC_NOT_EXIST, "route of an unknown topic",
                () -> admin.examineTopicRouteInfo(scope.freshTopic("unknown")));
        Check.that(admin.fetchAllTopicList().getTopicList().contains(topic), "topic is not in the list of all");
        var template = admin.examineTopicRouteInfo("TBW102").getQueueDatas().get(0);
        Check.equal(7, template.getPerm(), "permission of the template");
    }

    private static void topics(Scope scope) throws Exception {
        DefaultMQAdminExt admin = scope.admin();
        String topic = scope.topic(2);
        String cluster = admin.examineTopicRouteInfo(topic).getBrokerDatas().get(0).getCluster();
        DefaultMQProducer producer = scope.producer();
        Scope.sendAll(producer, topic, List.of("one"));
        var config = admin.getAllTopicConfig(scope.broker, 10_000).getTopicConfigTable().get(topic);
        Check.equal(2, config.getWriteQueueNums(), "write queues");
        Check.equal(2, config.getReadQueueNums(), "read queues");
        Check.equal(6, config.getPerm(), "permission");
        Check.equal(2, admin.examineTopicConfig(scope.broker, topic).getReadQueueNums(), "read queues of one topic");

        change(scope, new TopicConfig(topic, 6, 5, 6));
        // Only readable: producers see no queue to write to.
        change(scope, new TopicConfig(topic, 6, 5, 4));
        DefaultMQProducer late = scope.producer();
        Check.fails("a send to a read-only topic", () -> late.send(Scope.message(topic, "refused")));
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(List.of("one"), Scope.LIMIT_MS);

        admin.deleteTopicInBroker(Set.of(scope.broker), topic);
        Version.deleteRoute(admin, scope.nameserver, cluster, topic);
        failsWith(TOPIC_NOT_EXIST, "route of a deleted topic", () -> admin.examineTopicRouteInfo(topic));
        Check.that(!admin.getAllTopicConfig(scope.broker, 10_000).getTopicConfigTable().containsKey(topic),
                "deleted topic is still defined");
        // Its name can be used again, from offset zero.
        scope.createTopic(topic, 1, scope.broker);
        Check.equal(0L, Scope.stored(scope.producer().send(Scope.message(topic, "again"))).getQueueOffset(), "offset");
    }

    /** Changes a topic and waits until its route shows it. */
    private static void change(Scope scope, TopicConfig config) throws Exception {
        DefaultMQAdminExt admin = scope.admin();
        // An Apache broker registers concurrent changes in any order, so that its name server may keep the older one.
        int tries = scope.settings.get("target", "").equals("apache") ? 4 : 1;
        for (int left = tries - 1; ; left--) {
            admin.createAndUpdateTopicConfig(scope.broker, config);
            try {
                Check.await("changed route", Scope.LIMIT_MS / tries, () -> {
                    var queues = admin.examineTopicRouteInfo(config.getTopicName()).getQueueDatas().get(0);
                    return queues.getReadQueueNums() == config.getReadQueueNums()
                            && queues.getWriteQueueNums() == config.getWriteQueueNums()
                            && queues.getPerm() == config.getPerm();
                });
                return;
            } catch (Check.Failed failed) {
                if (left == 0) {
                    throw failed;
                }
            }
        }
    }

    private static void groups(Scope scope) throws Exception {
        DefaultMQAdminExt admin = scope.admin();
        String group = scope.group();
        String topic = scope.topic(1);
        Version.putGroup(admin, scope.broker, group, 5, false);
        var config = admin.examineSubscriptionGroupConfig(scope.broker, group);
        Check.equal(5, config.getRetryMaxTimes(), "retries");
        Check.equal(false, config.isConsumeEnable(), "enabled");
        Scope.sendAll(scope.producer(), topic, List.of("one"));
        Inbox inbox = new Inbox();
        scope.consumer(group, topic, "*", inbox);
        // Enabled later: the consumer that was refused goes on by itself.
        Version.putGroup(admin, scope.broker, group, 7, true);
        var all = admin.getAllSubscriptionGroup(scope.broker, 10_000).getSubscriptionGroupTable();
        Check.equal(7, all.get(group).getRetryMaxTimes(), "retries in the list of all");
        inbox.awaitExactly(List.of("one"), Scope.LIMIT_MS);

        String gone = scope.group("gone");
        Version.putGroup(admin, scope.broker, gone, 5, true);
        admin.deleteSubscriptionGroup(scope.broker, gone, true);
        Check.that(!admin.getAllSubscriptionGroup(scope.broker, 10_000).getSubscriptionGroupTable().containsKey(gone),
                "deleted group is still defined");
    }

    private static void values(Scope scope) throws Exception {
        DefaultMQAdminExt admin = scope.admin();
        String space = scope.group();
        failsWith(QUERY_NOT_FOUND, "an unknown key", () -> admin.getKVConfig(space, "colour"));
        admin.createAndUpdateKvConfig(space, "colour", "green");
        admin.createAndUpdateKvConfig(space, "size", "42");
        Check.equal("green", admin.getKVConfig(space, "colour"), "value");
        admin.createAndUpdateKvConfig(space, "colour", "blue");
        var table = admin.getKVListByNamespace(space).getTable();
        Check.equal(java.util.Map.of("colour", "blue", "size", "42"), table, "all values");
        admin.deleteKvConfig(space, "colour");
        failsWith(QUERY_NOT_FOUND, "a deleted key", () -> admin.getKVConfig(space, "colour"));
        Check.equal("42", admin.getKVConfig(space, "size"), "the other value");
    }
}
