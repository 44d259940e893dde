import java.util.Arrays;
import java.util.zip.CRC32;
import org.zeromq.ZMQ;

/**
 * One side of an interoperability run over JeroMQ: Peer push|pull ENDPOINT COUNT
 * single|multi. Calls the endpoint; the messages are those of src/messages.rs.
 */
public class Peer {
    static byte[][] make(int n, boolean multi) {
        byte[] body = new byte[n % 1000 == 999 ? 20000 : n % 97];
        for (int at = 0; at < body.length; at++) body[at] = (byte) (n + at);
        CRC32 crc = new CRC32();
        crc.update(body);
        byte[] head = String.format("%08x%08x", n, crc.getValue()).getBytes();
        if (multi) return new byte[][] {head, body, new byte[0]};
        byte[] whole = Arrays.copyOf(head, 16 + body.length);
        System.arraycopy(body, 0, whole, 16, body.length);
        return new byte[][] {whole};
    }

    public static void main(String[] args) {
        boolean push = args[0].equals("push"), multi = args[3].equals("multi");
        int count = Integer.parseInt(args[2]);
        ZMQ.Context context = ZMQ.context(1);
        ZMQ.Socket socket = context.socket(push ? ZMQ.PUSH : ZMQ.PULL);
        socket.setReceiveTimeOut(30000);
        socket.setLinger(30000);
        if (args[1].startsWith("@"))
            socket.bind(args[1].substring(1));
        else
            socket.connect(args[1]);
        for (int n = 0; n < count; n++) {
            byte[][] frames = make(n, multi);
            for (int at = 0; at < frames.length; at++) {
                boolean more = at + 1 < frames.length;
                if (push) {
                    if (!socket.send(frames[at], more ? ZMQ.SNDMORE : 0)) throw new Error("not sent: " + n);
                } else if (!Arrays.equals(socket.recv(), frames[at]) || socket.hasReceiveMore() != more) {
                    throw new Error("not as it was sent: " + n);
                }
            }
        }
        socket.close();
        context.term();
        if (!push) System.out.println(count + " ok");
    }
}
