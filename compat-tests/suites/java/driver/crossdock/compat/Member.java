package crossdock.compat;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;

/** A consumer in a Java process of its own, which a case can kill without any good-bye to the server. */
public final class Member implements AutoCloseable {
    private final Process process;
    private final Thread reader;

    /** Starts a member; what it receives goes to {@code inbox} as "queue body". */
    public Member(Settings settings, String nameserver, String group, String topic, Received inbox) throws Exception {
        List<String> command = new ArrayList<>(List.of(
                System.getProperty("java.home") + File.separator + "bin" + File.separator + "java",
                "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-Duser.home=" + System.getProperty("user.home"), "-cp", System.getProperty("java.class.path"),
                Driver.class.getName(), "mode=member", "nameserver=" + nameserver, "group=" + group, "topic=" + topic));
        process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
        reader = new Thread(() -> {
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    int at = line.indexOf(' ');
                    inbox.received(Integer.parseInt(line.substring(0, at)), line.substring(at + 1));
                }
            } catch (java.io.IOException closed) {
                // The pipe of a killed process may break instead of end.
            }
        }, "member-" + group);
        reader.setDaemon(true);
        reader.start();
    }

    public interface Received {
        void received(int queue, String body);
    }

    /** SIGKILL. */
    public void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
        reader.join();
    }

    @Override
    public void close() {
        process.destroyForcibly();
    }

    /** The other process: consumes and prints until its input closes, which it does when the driver is gone. */
    static void run(Settings settings, PrintStream out) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(settings.get("group"));
        consumer.setNamesrvAddr(settings.get("nameserver"));
        consumer.setInstanceName("member");
        consumer.setPollNameServerInterval(1_000);
        // The 5.3 client loses a heartbeat that meets another; the next one brings the subscription.
        consumer.setHeartbeatBrokerInterval(1_000);
        consumer.subscribe(settings.get("topic"), "*");
        consumer.registerMessageListener((org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently)
                (messages, context) -> {
                    messages.forEach(message -> {
                        synchronized (out) {
                            out.println(message.getQueueId() + " " + Inbox.text(message));
                            out.flush();
                        }
                    });
                    return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
                });
        consumer.start();
        while (System.in.read() >= 0) {
            // Nothing is ever sent; only the end matters.
        }
    }
}
