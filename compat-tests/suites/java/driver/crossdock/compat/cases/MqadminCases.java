package crossdock.compat.cases;

import crossdock.compat.Case;
import crossdock.compat.Check;
import crossdock.compat.Inbox;
import crossdock.compat.Mqadmin;
import crossdock.compat.Scope;
import crossdock.compat.Version;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** Subcommands about the cluster, its topics, its messages and its configuration, each as an operator types it. */
public final class MqadminCases {
    private MqadminCases() {}

    public static void addTo(List<Case> cases) {
        cases.add(Case.shared("clusterList", MqadminCases::clusterList));
        cases.add(Case.shared("updateTopic", MqadminCases::updateTopic));
        cases.add(Case.shared("updateTopicPerm", MqadminCases::updateTopicPerm));
        cases.add(Case.shared("updateTopicList", MqadminCases::updateTopicList));
        cases.add(Case.shared("updateOrderConf", MqadminCases::updateOrderConf));
        cases.add(Case.shared("topicRoute", MqadminCases::topicRoute));
        cases.add(Case.shared("topicList", MqadminCases::topicList));
        cases.add(Case.shared("topicClusterList", MqadminCases::topicClusterList));
        cases.add(Case.shared("topicStatus", MqadminCases::topicStatus));
        cases.add(Case.shared("allocateMQ", MqadminCases::allocate));
        cases.add(Case.shared("deleteTopic", MqadminCases::deleteTopic));
        cases.add(Case.shared("sendMessage", MqadminCases::sendMessage));
        cases.add(Case.shared("consumeMessage", MqadminCases::consumeMessage));
        cases.add(Case.shared("printMsg", MqadminCases::printMsg));
        cases.add(Case.shared("printMsgByQueue", MqadminCases::printMsgByQueue));
        cases.add(Case.shared("queryMsgById", MqadminCases::queryMsgById));
        cases.add(Case.shared("queryMsgByKey", MqadminCases::queryMsgByKey));
        cases.add(Case.shared("queryMsgByUniqueKey", MqadminCases::queryMsgByUniqueKey));
        cases.add(Case.shared("queryMsgByOffset", MqadminCases::queryMsgByOffset));
        cases.add(Case.shared("queryMsgTraceById", MqadminCases::queryMsgTraceById));
        cases.add(Case.shared("queryCq", MqadminCases::queryCq));
        cases.add(Case.shared("checkMsgSendRT", MqadminCases::checkMsgSendRT));
        cases.add(Case.shared("sendMsgStatus", MqadminCases::sendMsgStatus));
        cases.add(Case.shared("brokerStatus", MqadminCases::brokerStatus));
        cases.add(Case.shared("haStatus", MqadminCases::haStatus));
        cases.add(Case.shared("getBrokerConfig", MqadminCases::getBrokerConfig));
        cases.add(Case.shared("getNamesrvConfig", MqadminCases::getNamesrvConfig));
        cases.add(Case.shared("updateNamesrvConfig", MqadminCases::updateNamesrvConfig));
        cases.add(Case.shared("updateKvConfig", MqadminCases::updateKvConfig));
        cases.add(Case.shared("cleanUnusedTopic", scope -> clean(scope, "cleanUnusedTopic")));
        cases.add(Case.shared("cleanExpiredCQ", scope -> clean(scope, "cleanExpiredCQ")));
        cases.add(Case.shared("exportMetadata", MqadminCases::exportMetadata));
        cases.add(Case.shared("exportConfigs", MqadminCases::exportConfigs));
        cases.add(Case.shared("exportMetrics", MqadminCases::exportMetrics));
        cases.add(Case.alone("updateBrokerConfig", MqadminCases::updateBrokerConfig));
        cases.add(Case.alone("wipeWritePerm", MqadminCases::wipeWritePerm));
    }

    /** The name of the broker that the case talks to. */
    static String brokerName(Scope scope) throws Exception {
        return scope.admin().examineBrokerClusterInfo().getBrokerAddrTable().values().stream()
                .filter(data -> scope.broker.equals(data.getBrokerAddrs().get(0L))).findFirst().orElseThrow()
                .getBrokerName();
    }

    static String cluster(Scope scope) throws Exception {
        return scope.admin().examineBrokerClusterInfo().getBrokerAddrTable().values().stream()
                .filter(data -> scope.broker.equals(data.getBrokerAddrs().get(0L))).findFirst().orElseThrow()
                .getCluster();
    }

    /** True against a real Apache server, where the few differences are. */
    static boolean isApache(Scope scope) {
        return scope.settings.get("target", "").equals("apache");
    }

    /** Sends bodies to the first queue of a topic. */
    static void fill(Scope scope, String topic, String... bodies) throws Exception {
        Scope.sendAll(scope.producer(), new MessageQueue(topic, brokerName(scope), 0), List.of(bodies));
    }

    private static void clusterList(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String broker = brokerName(scope);
        String[] row = mqadmin.run("clusterList").row(cluster(scope));
        Check.equal(broker, row[1], "broker");
        Check.equal("0", row[2], "broker id");
        Check.equal(scope.broker, row[3], "address");
        Check.equal("true", row[row.length - 1], "activated");
        row = mqadmin.run("clusterList", "-m").row(cluster(scope));
        Check.equal(broker, row[1], "broker");
        Check.equal(6, row.length, "columns");
        mqadmin.run("clusterList", "-c", cluster(scope)).shows(broker);
    }

    private static void updateTopic(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.freshTopic("");
        mqadmin.run("updateTopic", "-c", cluster(scope), "-t", topic, "-r", "4", "-w", "3", "-a", "+message.type=FIFO")
                .shows("create topic to " + scope.broker + " success.", "topicName=" + topic, "readQueueNums=4",
                        "writeQueueNums=3", "perm=RW-");
        mqadmin.run("updateTopic", "-b", scope.broker, "-t", topic, "-r", "6", "-w", "5", "-p", "4")
                .shows("create topic to " + scope.broker + " success.", "readQueueNums=6", "perm=R--");
        var config = scope.admin().examineTopicConfig(scope.broker, topic);
        Check.equal(6, config.getReadQueueNums(), "read queues");
        Check.equal(5, config.getWriteQueueNums(), "write queues");
        Check.equal("FIFO", Version.attribute(config, "message.type"), "message type");
        mqadmin.run("updateTopic", "-b", scope.broker, "-t", "not legal", "-r", "1", "-w", "1").hides("success");
        mqadmin.run("updateTopic", "-b", scope.broker, "-t", scope.freshTopic("odd"), "-a", "+message.type=ODD")
                .hides("success");
    }

    private static void updateTopicPerm(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(2);
        mqadmin.run("updateTopicPerm", "-b", scope.broker, "-t", topic, "-p", "4")
                .shows("update topic perm from 6 to 4 in " + scope.broker + " success.");
        Check.await("route without write permission", Scope.LIMIT_MS,
                () -> scope.admin().examineTopicRouteInfo(topic).getQueueDatas().get(0).getPerm() == 4);
        mqadmin.run("updateTopicPerm", "-c", cluster(scope), "-t", topic, "-p", "6")
                .shows("update topic perm from 4 to 6 in " + scope.broker + " success.");
    }

    private static void updateTopicList(Scope scope) throws Exception {
        Path file = Files.createTempFile("topics", ".json");
        String one = scope.freshTopic("one");
        String two = scope.freshTopic("two");
        Files.writeString(file, ("[{\"topicName\":\"%s\",\"readQueueNums\":1,\"writeQueueNums\":1,\"perm\":6},"
                + "{\"topicName\":\"%s\",\"readQueueNums\":2,\"writeQueueNums\":2,\"perm\":6}]").formatted(one, two));
        new Mqadmin(scope).run("updateTopicList", "-b", scope.broker, "-f", file.toString())
                .shows("submit batch of topic config to " + scope.broker + " success");
        Check.equal(1, scope.admin().examineTopicConfig(scope.broker, one).getReadQueueNums(), "queues of the first");
        Check.equal(2, scope.admin().examineTopicConfig(scope.broker, two).getReadQueueNums(), "queues of the second");
    }

    private static void updateOrderConf(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(1);
        mqadmin.run("updateOrderConf", "-t", topic, "-m", "put", "-v", "a:4").shows("update orderConf success", topic);
        mqadmin.run("updateOrderConf", "-t", topic, "-m", "get").shows("get orderConf success", topic, "a:4");
        mqadmin.run("updateOrderConf", "-t", topic, "-m", "delete").shows("delete orderConf success");
        mqadmin.run("updateOrderConf", "-t", topic, "-m", "get").hides("a:4");
    }

    private static void topicRoute(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(3);
        mqadmin.run("topicRoute", "-t", topic).shows("brokerDatas", scope.broker, "\"cluster\":\"" + cluster(scope),
                "queueDatas", "\"perm\":6", "\"readQueueNums\":3", "\"writeQueueNums\":3");
        String[] row = mqadmin.run("topicRoute", "-t", topic, "-l").row(cluster(scope));
        Check.equal(brokerName(scope), row[1], "broker");
        Check.equal("3", row[3], "read queues");
        mqadmin.run("topicRoute", "-t", scope.freshTopic("none")).fails("17", "No topic route info");
    }

    private static void topicList(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(1);
        String cluster = cluster(scope);
        fill(scope, topic, "a");
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(List.of("a"), Scope.LIMIT_MS);
        mqadmin.run("topicList").shows(topic + "\n");
        // The group's position has to arrive.
        Check.await("the topic with its consumer", Scope.LIMIT_MS, () -> mqadmin.run("topicList", "-c").out().lines()
                .anyMatch(line -> line.contains(topic) && line.contains(scope.group()) && line.startsWith(cluster)));
    }

    private static void topicClusterList(Scope scope) throws Exception {
        new Mqadmin(scope).run("topicClusterList", "-t", scope.topic(1)).shows(cluster(scope) + "\n");
    }

    private static void topicStatus(Scope scope) throws Exception {
        String topic = scope.topic(2);
        fill(scope, topic, "a", "b", "c");
        String[] row = new Mqadmin(scope).run("topicStatus", "-t", topic).row(brokerName(scope) + " ");
        Check.equal("0", row[1], "queue");
        Check.equal("0", row[2], "minimum");
        Check.equal("3", row[3], "maximum");
        Check.that(row[4].matches("\\d{4}-\\d\\d-\\d\\d"), "no date in %s", row[4]);
    }

    private static void allocate(Scope scope) throws Exception {
        new Mqadmin(scope).run("allocateMQ", "-t", scope.topic(4), "-i", "10.0.0.1,10.0.0.2")
                .shows("{\"result\":{", "\"10.0.0.", "\"queueId\":", "\"10.0.0.", "\"queueId\":");
    }

    private static void deleteTopic(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(1);
        mqadmin.run("deleteTopic", "-c", cluster(scope), "-t", topic).shows("delete topic [" + topic + "] from cluster ["
                + cluster(scope) + "] success.", "delete topic [" + topic + "] from NameServer success.");
        mqadmin.run("topicRoute", "-t", topic).fails("17");
    }

    private static void sendMessage(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(2);
        String broker = brokerName(scope);
        String[] row = mqadmin.run("sendMessage", "-t", topic, "-p", "one", "-k", "k1", "-c", "tagA").row(broker + " ");
        Check.equal("SEND_OK", row[2], "result");
        row = mqadmin.run("sendMessage", "-t", topic, "-p", "two", "-b", broker, "-i", "1").row(broker + " ");
        Check.equal("1", row[1], "queue");
        Inbox inbox = new Inbox();
        scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(List.of("one", "two"), Scope.LIMIT_MS);
        Message message = inbox.awaitText("one", 0).message();
        Check.equal("tagA", message.getTags(), "tag");
        Check.equal("k1", message.getKeys(), "key");
    }

    private static void consumeMessage(Scope scope) throws Exception {
        String topic = scope.topic(1);
        fill(scope, topic, "one", "two");
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("consumeMessage", "-t", topic, "-g", scope.group()).shows("Consume ok", "BODY: one", "BODY: two",
                "offset=2");
        mqadmin.run("consumeMessage", "-t", topic, "-b", brokerName(scope), "-i", "0", "-o", "1", "-c", "1")
                .shows("BODY: two").hides("BODY: one");
    }

    private static void printMsg(Scope scope) throws Exception {
        String topic = scope.topic(1);
        DefaultMQProducer producer = scope.producer();
        Scope.stored(producer.send(Scope.message(topic, "a", "one")));
        Scope.stored(producer.send(Scope.message(topic, "b", "two")));
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("printMsg", "-t", topic).shows("minOffset=0, maxOffset=2", "BODY: one", "BODY: two");
        mqadmin.run("printMsg", "-t", topic, "-s", "b").shows("BODY: two").hides("BODY: one");
    }

    private static void printMsgByQueue(Scope scope) throws Exception {
        String topic = scope.topic(2);
        fill(scope, topic, "one", "two");
        new Mqadmin(scope).run("printMsgByQueue", "-t", topic, "-a", brokerName(scope), "-i", "0", "-p", "true", "-d",
                "true").shows("one", "two");
    }

    private static void queryMsgById(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Message message = Scope.message(topic, "tagA", "found by id");
        message.setKeys("k1");
        String id = Scope.stored(scope.producer().send(message)).getOffsetMsgId();
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("queryMsgById", "-t", topic, "-i", id).shows("OffsetID:", id, "Topic:", topic, "Tags:", "[tagA]",
                "Keys:", "[k1]", "Queue ID:", "0", "Queue Offset:", "0", "Message Body Path:");
        String missing = id.substring(0, 16) + "7FFFFFFFFFFFFFFF";
        mqadmin.run("queryMsgById", "-t", topic, "-i", missing).hides("Queue Offset:");
    }

    private static void queryMsgByKey(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Message message = Scope.message(topic, "keyed");
        message.setKeys(List.of("k1", "k2"));
        String id = Scope.stored(scope.producer().send(message)).getMsgId();
        Mqadmin mqadmin = new Mqadmin(scope);
        Check.await("the key in the index", Scope.LIMIT_MS,
                () -> mqadmin.run("queryMsgByKey", "-t", topic, "-k", "k2").has(id));
        String[] row = mqadmin.run("queryMsgByKey", "-t", topic, "-k", "k1").row(id);
        Check.equal("0", row[1], "queue");
        Check.equal("0", row[2], "offset");
        mqadmin.run("queryMsgByKey", "-t", topic, "-k", "k3").hides(id);
    }

    private static void queryMsgByUniqueKey(Scope scope) throws Exception {
        String topic = scope.topic(1);
        String id = Scope.stored(scope.producer().send(Scope.message(topic, "unique"))).getMsgId();
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = scope.consumer(scope.group(), topic, "*", inbox);
        inbox.awaitExactly(List.of("unique"), Scope.LIMIT_MS);
        scope.awaitCommitted(consumer, topic, 1);
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("queryMsgByUniqueKey", "-t", topic, "-i", id).shows("Topic:", topic, "Queue ID:", "0",
                "Queue Offset:", "0", "Reconsume Times:", "MessageTrack", scope.group(), "CONSUMED");
        mqadmin.run("queryMsgByUniqueKey", "-t", topic, "-i", id, "-g", scope.group(), "-d",
                consumer.buildMQClientId()).shows("CR_SUCCESS");
        Check.await("the direct delivery", Scope.LIMIT_MS, () -> inbox.texts().size() == 2);
    }

    private static void queryMsgByOffset(Scope scope) throws Exception {
        String topic = scope.topic(1);
        fill(scope, topic, "first", "second");
        new Mqadmin(scope).run("queryMsgByOffset", "-t", topic, "-b", brokerName(scope), "-i", "0", "-o", "1")
                .shows("Topic:", topic, "Queue Offset:", "1");
    }

    private static void queryMsgTraceById(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Mqadmin mqadmin = new Mqadmin(scope);
        String[] row = mqadmin.run("sendMessage", "-t", topic, "-p", "traced", "-m", "true").row(brokerName(scope) + " ");
        Check.await("the trace", Scope.LIMIT_MS, () -> mqadmin.run("queryMsgTraceById", "-i", row[3]).out().lines()
                .anyMatch(line -> line.startsWith("Pub") && line.contains("success")));
    }

    private static void queryCq(Scope scope) throws Exception {
        String topic = scope.topic(1);
        Scope.stored(scope.producer().send(Scope.message(topic, "tagA", "one")));
        Scope.stored(scope.producer().send(Scope.message(topic, "tagA", "two")));
        Mqadmin mqadmin = new Mqadmin(scope);
        Check.await("the entries", Scope.LIMIT_MS, () -> mqadmin
                .run("queryCq", "-t", topic, "-q", "0", "-i", "0", "-c", "2", "-b", scope.broker).has("idx: 1"));
        mqadmin.run("queryCq", "-t", topic, "-q", "0", "-i", "0", "-c", "2", "-b", scope.broker)
                .shows("Queue data:", "max: 2, min: 0", "idx: 0", String.valueOf("tagA".hashCode()), "idx: 1");
        mqadmin.run("queryCq", "-t", topic, "-q", "7", "-i", "0", "-c", "2", "-b", scope.broker).fails("not exist");
    }

    private static void checkMsgSendRT(Scope scope) throws Exception {
        new Mqadmin(scope).run("checkMsgSendRT", "-t", scope.topic(1), "-a", "3", "-s", "10")
                .shows("#Broker Name", brokerName(scope), "true", "Avg RT:");
    }

    private static void sendMsgStatus(Scope scope) throws Exception {
        new Mqadmin(scope).run("sendMsgStatus", "-b", brokerName(scope), "-s", "10", "-c", "2").shows("rt=", "SEND_OK");
    }

    private static void brokerStatus(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        var output = mqadmin.run("brokerStatus", "-b", scope.broker).shows("bootTimestamp", "brokerActive", ": true",
                "brokerVersionDesc", "commitLogMaxOffset", "putTps", "runtime");
        Check.that(Double.parseDouble(output.behind("putTps").split("[:\\s]+")[1]) >= 0, "putTps is no number");
        mqadmin.run("brokerStatus", "-c", cluster(scope)).shows(scope.broker, "bootTimestamp");
    }

    private static void haStatus(Scope scope) throws Exception {
        new Mqadmin(scope).run("haStatus", "-b", scope.broker).shows("#MasterAddr", scope.broker,
                "#MasterCommitLogMaxOffset", "#SlaveNum", "0", "#InSyncSlaveNum", "0");
    }

    private static void getBrokerConfig(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        var output = mqadmin.run("getBrokerConfig", "-b", scope.broker);
        Check.equal("=  " + brokerName(scope), output.behind("brokerName "), "broker name");
        Check.equal("=  " + cluster(scope), output.behind("brokerClusterName "), "cluster");
        mqadmin.run("getBrokerConfig", "-c", cluster(scope)).shows("Master: " + scope.broker, "brokerName");
    }

    private static void updateBrokerConfig(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String success = "update broker config success, " + scope.broker;
        mqadmin.run("updateBrokerConfig", "-b", scope.broker, "-k", "autoCreateTopicEnable", "-v", "false").shows(success);
        String config = mqadmin.run("getBrokerConfig", "-b", scope.broker).behind("autoCreateTopicEnable ");
        Check.equal("=  false", config, "shown value");
        DefaultMQProducer producer = scope.producer();
        Check.fails("a send to an unknown topic", () -> producer.send(Scope.message(scope.freshTopic("no"), "x")));
        mqadmin.run("updateBrokerConfig", "-c", cluster(scope), "-k", "autoCreateTopicEnable", "-v", "true").shows(success);
        if (!isApache(scope)) {
            // An Apache broker has taken the permission from its template meanwhile and does not give it back.
            Scope.stored(scope.producer().send(Scope.message(scope.freshTopic("yes"), "x")));
        }
        mqadmin.run("updateBrokerConfig", "-b", scope.broker, "-k", "brokerConfigPath", "-v", "/x").hides("success");
        if (!isApache(scope)) {
            // What nothing would come of is not taken; Apache takes any word.
            mqadmin.run("updateBrokerConfig", "-b", scope.broker, "-k", "nonsense", "-v", "1")
                    .fails("nonsense is not a setting of this broker").hides("success");
            mqadmin.run("updateBrokerConfig", "-b", scope.broker, "-k", "maxMessageSize", "-v", "1")
                    .fails("maxMessageSize cannot be changed at run time").hides("success");
        }
    }

    private static void getNamesrvConfig(Scope scope) throws Exception {
        new Mqadmin(scope).run("getNamesrvConfig").shows("============" + scope.nameserver + "============",
                "enableAllTopicList", "=  true");
    }

    private static void updateNamesrvConfig(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run("updateNamesrvConfig", "-k", "enableAllTopicList", "-v", "true")
                .shows("update name server config success", "enableAllTopicList : true");
        mqadmin.run("updateNamesrvConfig", "-k", "kvConfigPath", "-v", "/x").hides("success");
    }

    private static void updateKvConfig(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String space = scope.group();
        mqadmin.run("updateKvConfig", "-s", space, "-k", "colour", "-v", "green")
                .shows("create or update kv config to namespace success.");
        Check.equal("green", scope.admin().getKVConfig(space, "colour"), "value");
        mqadmin.run("deleteKvConfig", "-s", space, "-k", "colour").shows("delete kv config from namespace success.");
        Check.fails("a deleted key", () -> scope.admin().getKVConfig(space, "colour"));
    }

    private static void clean(Scope scope, String command) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        mqadmin.run(command, "-b", scope.broker).shows("success");
        mqadmin.run(command, "-c", cluster(scope)).shows("success");
    }

    private static String exported(Scope scope, String command, String file, String... more) throws Exception {
        Path folder = Files.createTempDirectory("export");
        java.util.ArrayList<String> all = new java.util.ArrayList<>(List.of(command, "-f", folder.toString()));
        all.addAll(List.of(more));
        new Mqadmin(scope).run(all.toArray(new String[0])).shows(folder.toString());
        return Files.readString(folder.resolve(file));
    }

    private static void exportMetadata(Scope scope) throws Exception {
        String topic = scope.topic(3);
        new Mqadmin(scope).run("updateSubGroup", "-b", scope.broker, "-g", scope.group()).shows("success");
        String all = exported(scope, "exportMetadata", "metadata.json", "-c", cluster(scope));
        Check.that(all.contains(topic) && all.contains(scope.group()), "no topic or group in %s", all);
        String topics = exported(scope, "exportMetadata", "topic.json", "-b", scope.broker, "-t");
        Check.that(topics.contains(topic) && topics.contains("dataVersion"), "no topic in %s", topics);
        String groups = exported(scope, "exportMetadata", "subscriptionGroup.json", "-b", scope.broker, "-g");
        Check.that(groups.contains(scope.group()), "no group in %s", groups);
    }

    private static void exportConfigs(Scope scope) throws Exception {
        String text = exported(scope, "exportConfigs", "configs.json", "-c", cluster(scope));
        Check.that(text.contains("\"brokerConfigs\"") && text.contains(brokerName(scope))
                && text.contains("\"masterBrokerSize\":1"), "not the cluster: %s", text);
    }

    private static void exportMetrics(Scope scope) throws Exception {
        fill(scope, scope.topic(1), "a");
        String text = exported(scope, "exportMetrics", "metrics.json", "-c", cluster(scope));
        Check.that(text.contains("\"evaluateReport\"") && text.contains(brokerName(scope)), "not the cluster: %s", text);
    }

    private static void wipeWritePerm(Scope scope) throws Exception {
        Mqadmin mqadmin = new Mqadmin(scope);
        String topic = scope.topic(1);
        String broker = brokerName(scope);
        mqadmin.run("wipeWritePerm", "-b", broker)
                .shows("wipe write perm of broker[" + broker + "] in name server[" + scope.nameserver + "] OK, ");
        try {
            Check.equal(4, scope.admin().examineTopicRouteInfo(topic).getQueueDatas().get(0).getPerm(), "permission");
        } finally {
            mqadmin.run("addWritePerm", "-b", broker)
                    .shows("add write perm of broker[" + broker + "] in name server[" + scope.nameserver + "] OK, ");
        }
        Check.equal(6, scope.admin().examineTopicRouteInfo(topic).getQueueDatas().get(0).getPerm(), "permission");
    }
}
