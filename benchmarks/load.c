/* One load generator for every broker: MQTT 3.1.1 clients on loopback, one thread, one epoll.
 *
 *   load flood   --port P --shape pairs|out|in --publishers N --subscribers N --qos 0|1 ...
 *                --to P           subscribers are at this port, not at that: of a broker to which a bridge leads
 *                --keep 1         subscribers have kept sessions (Clean Session 0)
 *                --absent 1       and are away meanwhile: the figure is PUBACKs; then they come and collect
 *                --frozen N       first without, then beside N more subscribers that never read
 *                --messages N     each publisher sends so many, and there is no time limit
 *   load collect --port P --id NAME --messages N   (what waits for one kept session)
 *   load latency --port P --rate R --samples N
 *   load idle    --port P --clients N          (holds them until a line or the end of stdin)
 *   load connect --port P --parallel N
 *
 * All log in with --user and --password, if a user is given. flood and latency know more than TCP:
 *   --over tls       TLS 1.3 with TLS_AES_256_GCM_SHA384 and nothing else; no certificate is verified
 *   --over ws        WebSocket: each write of PUBLISH or PUBACK packets is one masked binary message
 *   --per-packet 1   with it, each packet is a message of its own, as mqtt.js sends them
 *
 * Each prints JSON lines; the last one is the result, with "ok" true or false. The exit status is 0
 * only if "ok" is true. Every wait ends: a run in which nothing moves for --patience seconds is over.
 *
 * Compiled with -DNO_TLS it needs no OpenSSL, and does not know tls.
 *
 * It must cost far less than any broker, so it does the least that is still honest:
 *   - PUBLISH frames are prepared once; a block of many is sent with one system call;
 *   - what arrives is read in large pieces and only counted, frame by frame;
 *   - PUBACKs for all that one read brought are sent with one system call.
 *
 * It is a closed loop. A publisher may be at most --window messages ahead of the slowest of its
 * subscribers (and, at QoS 1, of its own PUBACKs). So a broker with short queues has no reason to drop
 * anything, and at the end what was sent must equal what was received; otherwise the run is "lost".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#ifndef NO_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <signal.h>
#include <unistd.h>

#define WATCHED 64             /* processes of brokers, at most */
#define READ_SIZE (256 * 1024) /* stays within the second-level cache, so scanning it costs little */
#define HELD_SIZE 512          /* room for the part of a frame that the next read completes */
#define EVENTS 2048            /* all sockets of the largest flood, so no socket waits for a second turn */
#define OPENING_AT_ONCE 100
#define SOURCES 50             /* 127.0.0.1 to 127.0.0.50: see source_address() */
#define FROZEN_BUFFER 16384
#define THAWING 0.2            /* seconds without a byte after which a frozen subscriber has all there is */
#define FILLING 600            /* seconds that --messages may take */
#define WAITING_FOR_MORE 0.05  /* seconds to look for surplus messages after the last expected one */
#define FEW_FRAMES 100         /* a turn that brought fewer in all, */
#define FEW_PER_SOCKET 8       /* or fewer per socket, is followed by a pause: see gather() */

/* ---- options ------------------------------------------------------------------------------------ */

static const char *scenario;
static const char *shape = "pairs";
static const char *watch = "";   /* process ids of the brokers, with commas: whose processor time is reported */
static const char *id = "";      /* client id of the first subscriber; otherwise each has its own */
static const char *user = "", *password = ""; /* nobody in particular, without a user */
static const char *over = "tcp";
static bool is_secure, is_framed; /* what that comes to: TLS, WebSocket */
static double per_packet;         /* 0 or 1 */
static double port, to; /* where publishers connect, and subscribers; 0: at the same port */
static double qos, publishers = 1, subscribers = 1, payload = 64;
static double keep_sessions, absent, collects = 1; /* 0 or 1 */
static double frozen, frozen_qos;
static double messages; /* that each publisher sends; 0: as many as it can in the time */
static double window_size = 1000; /* messages a publisher may be ahead */
static double block_size;         /* the fewest messages worth a write; 0: a quarter of the window */
static double warmup = 1, seconds = 3, patience = 5;
static double gather_us = 50; /* microseconds of that pause */
static double rate = 500, samples = 1000;
static double clients = 10000, parallel = 50, opening = 60, holding = 120;

struct option { const char *name; double *number; const char **text; };
static const struct option OPTIONS[] = {
    {"--port", &port, 0}, {"--to", &to, 0}, {"--shape", 0, &shape}, {"--qos", &qos, 0}, {"--watch", 0, &watch},
    {"--publishers", &publishers, 0}, {"--subscribers", &subscribers, 0}, {"--payload", &payload, 0},
    {"--window", &window_size, 0}, {"--block", &block_size, 0}, {"--warmup", &warmup, 0},
    {"--seconds", &seconds, 0}, {"--patience", &patience, 0}, {"--rate", &rate, 0},
    {"--samples", &samples, 0}, {"--gather", &gather_us, 0}, {"--clients", &clients, 0}, {"--parallel", &parallel, 0},
    {"--opening", &opening, 0}, {"--holding", &holding, 0}, {"--id", 0, &id}, {"--keep", &keep_sessions, 0},
    {"--absent", &absent, 0}, {"--collect", &collects, 0}, {"--frozen", &frozen, 0},
    {"--frozen-qos", &frozen_qos, 0}, {"--messages", &messages, 0}, {"--user", 0, &user},
    {"--password", 0, &password}, {"--over", 0, &over}, {"--per-packet", &per_packet, 0},
};

static void usage(const char *problem) {
    fprintf(stderr, "load: %s; see the head of load.c\n", problem);
    exit(2);
}

static void read_options(int count, char **words) {
    if (count < 2) usage("which scenario?");
    scenario = words[1];
    for (int i = 2; i < count; i += 2) {
        const struct option *option = NULL;
        for (size_t k = 0; k < sizeof OPTIONS / sizeof *OPTIONS; k++)
            if (!strcmp(words[i], OPTIONS[k].name)) option = &OPTIONS[k];
        if (!option) usage(words[i]);
        if (i + 1 == count) usage("an option without its value");
        if (option->text) *option->text = words[i + 1];
        else *option->number = atof(words[i + 1]);
    }
    if (!to) to = port;
    if (port < 1 || port > 65535 || to < 1 || to > 65535) usage("--port and --to must be 1 to 65535");
    if (payload < 0 || payload > 100) usage("--payload must be 0 to 100"); /* one-byte Remaining Length */
    if (qos != 0 && qos != 1) usage("--qos must be 0 or 1");
    if (window_size < 1 || window_size > 30000) usage("--window must be 1 to 30000");
    if (publishers < 1 || subscribers < 1 || clients < 1 || parallel < 1) usage("counts begin at 1");
    if (publishers + subscribers + frozen > EVENTS) usage("too many publishers and subscribers");
    if (frozen < 0 || frozen_qos < 0 || frozen_qos > 1) usage("--frozen is a number, --frozen-qos 0 or 1");
    if (absent && (!qos || frozen)) usage("with --absent 1 there is --qos 1 and nobody frozen");
    if (strlen(id) > 23 || strlen(user) > 23 || strlen(password) > 23)
        usage("--id, --user and --password may have 23 characters");
    is_secure = !strcmp(over, "tls");
    is_framed = !strcmp(over, "ws");
    if (!is_secure && !is_framed && strcmp(over, "tcp")) usage("--over must be tcp, tls or ws");
    if (per_packet && !is_framed) usage("--per-packet is for --over ws");
    bool is_plain_only = (strcmp(scenario, "flood") && strcmp(scenario, "latency")) || absent || frozen;
    if (is_plain_only && (is_secure || is_framed)) /* others wait for sockets, and look into them, by themselves */
        usage("--over is for latency and for flood, where nobody is absent or frozen");
    if (rate < 1 || samples < 10) usage("--rate begins at 1, --samples at 10");
}

/* ---- time, result, failure ---------------------------------------------------------------------- */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double own_cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* The next of the process ids in `watch`, or 0; `at` is where to go on. */
static long next_watched(const char **at) {
    char *after;
    long process = strtol(*at, &after, 10);
    *at = *after == ',' ? after + 1 : after;
    return process;
}

/* Processor seconds of one process so far: fields 14 and 15 of /proc/PID/stat. */
static double cpu_of(long process) {
    char path[64], line[1024];
    double ticks = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", process);
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    unsigned long user, system;
    if (fgets(line, sizeof line, file)) {
        char *name_end = strrchr(line, ')'); /* the name before it may hold spaces */
        if (name_end && sscanf(name_end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                               &user, &system) == 2)
            ticks = (double)(user + system);
    }
    fclose(file);
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

/* The same of each process in `watch`, in its order. */
static void watched_cpu(double *each) {
    const char *at = watch;
    int count = 0;
    for (long process; (process = next_watched(&at));) {
        if (count == WATCHED) usage("--watch takes 64 processes at most");
        each[count++] = cpu_of(process);
    }
}

/* Resident memory of the broker's processes in KiB: VmRSS in /proc/PID/status. */
static double watched_memory(void) {
    double sum = 0;
    const char *at = watch;
    for (long process; (process = next_watched(&at));) {
        char path[64], line[256];
        snprintf(path, sizeof path, "/proc/%ld/status", process);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        unsigned long kib;
        while (fgets(line, sizeof line, file))
            if (sscanf(line, "VmRSS: %lu", &kib) == 1) sum += (double)kib;
        fclose(file);
    }
    return sum;
}

struct stretch {
    double began, own, lasted, own_share;
    double broker_share;                      /* of all that are watched */
    double each[WATCHED], each_share[WATCHED]; /* of these */
    int watched;
};

static void begin_stretch(struct stretch *stretch) {
    stretch->began = now();
    stretch->own = own_cpu();
    watched_cpu(stretch->each);
}

static void end_stretch(struct stretch *stretch) {
    double each[WATCHED];
    const char *at = watch;
    stretch->lasted = now() - stretch->began + 1e-9;
    stretch->own_share = (own_cpu() - stretch->own) / stretch->lasted;
    watched_cpu(each);
    stretch->broker_share = 0;
    for (stretch->watched = 0; next_watched(&at); stretch->watched++) {
        int i = stretch->watched;
        stretch->each_share[i] = (each[i] - stretch->each[i]) / stretch->lasted;
        stretch->broker_share += stretch->each_share[i];
    }
}

/* End the run with a result that says why it is none. The problem may hold no quotation marks. */
static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("{\"ok\": false, \"problem\": \"");
    vprintf(format, arguments);
    printf("\"}\n");
    va_end(arguments);
    fflush(stdout);
    exit(1);
}

/* ---- connections -------------------------------------------------------------------------------- */

enum state { CLOSED, CONNECTING, SECURING, UPGRADING, AWAITS_CONNACK, AWAITS_SUBACK, READY };

struct flow; /* one topic: its publishers and its subscribers */

struct connection {
    int fd;
    enum state state;
    bool subscribes;
    bool keeps;             /* its session: Clean Session 0 */
    bool returns;           /* to a session that is there, with its subscription */
    bool freezes;           /* subscribes and never reads */
    struct flow *flow;      /* none for idle clients */
    uint64_t sent;          /* publisher: messages given to the socket */
    uint64_t acked;         /* publisher at QoS 1: PUBACKs */
    uint64_t received;      /* subscriber: messages */
    uint8_t *in_flight;     /* publisher at QoS 1: one flag per packet id */
    const uint8_t *rest;    /* what the socket has not taken yet: of the ring, or of acks */
    size_t rest_length;
    uint8_t *acks;          /* subscriber at QoS 1: memory of `rest` */
#ifndef NO_TLS
    SSL *tls;
#endif
    uint8_t *messages;      /* publisher with WebSocket: memory of `rest` */
    uint64_t message_left;  /* bytes of a WebSocket frame's payload that are still to come */
    bool is_control;        /* that frame: no MQTT is in it */
    uint8_t head_length;
    uint8_t head[10];       /* the begun head of a WebSocket frame: a server's has no masking key */
    size_t held_length;
    uint8_t held[HELD_SIZE]; /* the begun packet at the end of the last read, or the begun answer of a login */
};

struct flow {
    char topic[24];
    size_t topic_length, frame, frames; /* the ring: `frames` PUBLISH frames of `frame` bytes each */
    uint8_t *ring;
    struct connection *publishers, *subscribers;
    int publisher_count, subscriber_count;
    bool dirty; /* something arrived: perhaps a publisher may send again */
};

static int loop = -1;
static struct connection *connections;
static int connection_count;
static uint64_t frames_seen; /* anything that counts as progress */

static void listen_for(struct connection *connection, uint32_t what, int operation) {
    struct epoll_event event = {.events = what, .data.ptr = connection};
    if (epoll_ctl(loop, operation, connection->fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

/* One address has some 28,000 ports. Short connections leave each in TIME_WAIT for a while, and idle
 * ones keep it, so these take their addresses in turn; the port is chosen when the other end is known. */
static void choose_source(int fd, uint64_t number) {
    struct sockaddr_in source = {.sin_family = AF_INET};
    int yes = 1;
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number % SOURCES));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&source, sizeof source)) fail("bind: %s", strerror(errno));
}

/* ---- TLS ---------------------------------------------------------------------------------------- */

#ifndef NO_TLS

/* All brokers get the same: nothing else is offered. Records are read many at a time, as TCP is. */
static SSL_CTX *tls_context(void) {
    static SSL_CTX *context;
    if (context) return context;
    context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
        !SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384"))
        fail("OpenSSL cannot do TLS 1.3 with TLS_AES_256_GCM_SHA384");
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_SIZE);
    return context;
}

/* One step of the handshake. True when it is over. */
static bool has_secured(struct connection *connection) {
    if (!connection->tls) {
        connection->tls = SSL_new(tls_context());
        if (!connection->tls || !SSL_set_fd(connection->tls, connection->fd)) fail("no memory");
        SSL_set_tlsext_host_name(connection->tls, "localhost");
        SSL_set_connect_state(connection->tls);
    }
    ERR_clear_error();
    int done = SSL_do_handshake(connection->tls);
    if (done == 1) return true;
    if (SSL_get_error(connection->tls, done) != SSL_ERROR_WANT_READ) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());
        fail("TLS: %s", why ? why : "the broker closed a connection during the handshake");
    }
    return false;
}

/* Like send(): fewer bytes than there are if the socket is full. What is left must come first the next time. */
static ssize_t send_secured(SSL *tls, const uint8_t *bytes, size_t length) {
    size_t sent = 0;
    while (sent < length) {
        ERR_clear_error();
        int taken = SSL_write(tls, bytes + sent, (int)(length - sent)); /* one record of 16 KiB at most */
        if (taken > 0) {
            sent += (size_t)taken;
        } else {
            errno = SSL_get_error(tls, taken) == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
            return errno == EAGAIN && sent ? (ssize_t)sent : -1;
        }
    }
    return (ssize_t)sent;
}

/* Like recv(): all there is. Only if `size` bytes came may there be more that no epoll tells of. */
static ssize_t receive_secured(SSL *tls, uint8_t *bytes, size_t size) {
    size_t got = 0;
    while (got < size) {
        ERR_clear_error();
        int some = SSL_read(tls, bytes + got, (int)(size - got));
        if (some > 0) {
            got += (size_t)some;
        } else {
            if (got) break; /* if the connection is over, the next call says so */
            errno = EAGAIN;
            return SSL_get_error(tls, some) == SSL_ERROR_WANT_READ ? -1 : 0;
        }
    }
    return (ssize_t)got;
}

#else
static bool has_secured(struct connection *connection) {
    (void)connection;
    fail("compiled without TLS");
    return false;
}
#endif

static ssize_t send_bytes(struct connection *connection, const uint8_t *bytes, size_t length) {
#ifndef NO_TLS
    if (is_secure) return send_secured(connection->tls, bytes, length);
#endif
    return send(connection->fd, bytes, length, MSG_NOSIGNAL);
}

static ssize_t receive_bytes(struct connection *connection, uint8_t *bytes, size_t size) {
#ifndef NO_TLS
    if (is_secure) return receive_secured(connection->tls, bytes, size);
#endif
    return recv(connection->fd, bytes, size, 0);
}

/* ---- WebSocket (RFC 6455) ----------------------------------------------------------------------- */

#define LONGEST_HEAD 14 /* of a client's frame */
#define UPGRADE "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n" \
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" /* key and answer: section 1.3 */
#define ACCEPTED "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* A masking key: a new one for each frame, though here nobody has to be kept from guessing it. */
static uint32_t new_key(void) {
    static uint32_t state = 2463534242u; /* Marsaglia's xorshift */
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

/* Write one binary message: head, key, masked payload. The length of all that. */
static size_t write_message(uint8_t *to, const uint8_t *payload, size_t length) {
    uint8_t *at = to;
    uint32_t key = new_key();
    uint64_t keys = (uint64_t)key << 32 | key;
    size_t i = 0;
    *at++ = 0x82;
    if (length < 126) {
        *at++ = (uint8_t)(0x80 | length);
    } else {
        int size = length < 65536 ? 2 : 8;
        *at++ = size == 2 ? 0xfe : 0xff;
        while (size--) *at++ = (uint8_t)((uint64_t)length >> (8 * size));
    }
    memcpy(at, &key, 4);
    at += 4;
    for (; i + 8 <= length; i += 8) {
        uint64_t eight;
        memcpy(&eight, payload + i, 8);
        eight ^= keys;
        memcpy(at + i, &eight, 8);
    }
    for (; i < length; i++) at[i] = payload[i] ^ ((const uint8_t *)&key)[i & 3];
    return (size_t)(at - to) + length;
}

/* Write packets of `packet` bytes each as one message, or each as one. The length of all that. */
static size_t write_messages(uint8_t *to, const uint8_t *packets, size_t packet, size_t length) {
    if (!per_packet) return write_message(to, packets, length);
    uint8_t *at = to;
    for (size_t done = 0; done < length; done += packet) at += write_message(at, packets + done, packet);
    return (size_t)(at - to);
}

/* Room for `count` packets of `packet` bytes, as messages. */
static size_t room_for_messages(size_t packet, size_t count) {
    return packet * count + LONGEST_HEAD * (per_packet ? count : 1);
}

static bool head_is_whole(const struct connection *connection) {
    const uint8_t *head = connection->head;
    if (connection->head_length < 2) return false;
    return connection->head_length == 2 + ((head[1] & 0x7f) == 127 ? 8 : (head[1] & 0x7f) == 126 ? 2 : 0);
}

static void read_head(struct connection *connection) {
    const uint8_t *head = connection->head;
    uint8_t opcode = head[0] & 0x0f;
    uint64_t length = 0;
    if (head[1] & 0x80) fail("the broker masks its WebSocket frames");
    if (opcode == 8) fail("the broker closed a WebSocket");
    if (opcode != 0 && opcode != 2 && opcode < 8) fail("a WebSocket frame that begins %02x", head[0]);
    for (int i = 2; i < connection->head_length; i++) length = length << 8 | head[i];
    connection->message_left = connection->head_length > 2 ? length : head[1];
    connection->is_control = opcode > 8; /* a Ping now and then; no broker waits for the Pong */
    connection->head_length = 0;
}

/* Take the heads of frames out of what came, in place. What is left of it is MQTT: so many bytes. */
static size_t unframe(struct connection *connection, uint8_t *bytes, size_t length) {
    uint8_t *to = bytes;
    for (const uint8_t *at = bytes, *end = bytes + length; at < end;) {
        if (!connection->message_left) {
            connection->head[connection->head_length++] = *at++;
            if (head_is_whole(connection)) read_head(connection);
            continue;
        }
        size_t part = (size_t)(end - at);
        if (part > connection->message_left) part = (size_t)connection->message_left;
        if (!connection->is_control) {
            memmove(to, at, part);
            to += part;
        }
        at += part;
        connection->message_left -= part;
    }
    return (size_t)(to - bytes);
}

/* ---- opening ------------------------------------------------------------------------------------- */

static void start_connection(struct connection *connection, uint64_t source) {
    struct sockaddr_in broker = {.sin_family = AF_INET};
    broker.sin_port = htons((uint16_t)(connection->subscribes ? to : port));
    int yes = 1;
    broker.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connection->freezes) { /* so that soon the broker, not the system, must hold what is not read */
        int size = FROZEN_BUFFER;
        setsockopt(connection->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    if (source) choose_source(connection->fd, source);
    if (connect(connection->fd, (struct sockaddr *)&broker, sizeof broker) && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    connection->state = CONNECTING;
    connection->held_length = 0;
    listen_for(connection, EPOLLOUT, EPOLL_CTL_ADD);
}

static void send_small(struct connection *connection, const uint8_t *bytes, size_t length) {
    uint8_t message[256 + LONGEST_HEAD];
    size_t packet = length;
    if (is_framed) {
        length = write_message(message, bytes, packet);
        bytes = message;
    }
    if (send_bytes(connection, bytes, length) != (ssize_t)length)
        fail("the broker did not take a packet of %zu bytes", packet);
}

static uint8_t *write_text(uint8_t *to, const char *text, size_t length) {
    *to++ = 0;
    *to++ = (uint8_t)length;
    memcpy(to, text, length);
    return to + length;
}

static void send_connect(struct connection *connection, uint64_t number) {
    char name[24];
    size_t length = (size_t)snprintf(name, sizeof name, "load%d-%llu", getpid() % 100000, (unsigned long long)number);
    if (*id && connection == connections) length = (size_t)snprintf(name, sizeof name, "%s", id);
    uint8_t flags = (uint8_t)((connection->keeps ? 0 : 0x02) | (*user ? 0xc0 : 0));
    uint8_t packet[128] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, flags, 0, 0}; /* keep alive 0: no PINGREQ is due */
    uint8_t *end = write_text(packet + 12, name, length);
    if (*user) {
        end = write_text(end, user, strlen(user));
        end = write_text(end, password, strlen(password));
    }
    packet[1] = (uint8_t)(end - packet - 2);
    send_small(connection, packet, (size_t)(end - packet));
}

static uint8_t subscription_qos(const struct connection *connection) {
    return (uint8_t)(connection->freezes ? frozen_qos : qos);
}

static void send_subscribe(struct connection *connection) {
    const struct flow *flow = connection->flow;
    size_t length = flow->topic_length;
    uint8_t packet[64] = {0x82, (uint8_t)(5 + length), 0, 1, 0, (uint8_t)length};
    memcpy(packet + 6, flow->topic, length);
    packet[6 + length] = subscription_qos(connection);
    send_small(connection, packet, 7 + length);
}

/* Read exactly `length` bytes of MQTT into `held`, over as many calls as it takes. What follows stays where it is. */
static bool read_small(struct connection *connection, size_t length) {
    while (connection->held_length < length) { /* what TLS has read already, no epoll tells of */
        uint8_t *at = connection->held + connection->held_length;
        ssize_t got = receive_bytes(connection, at, length - connection->held_length);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
        if (got <= 0) fail("the broker closed a connection during its login");
        connection->held_length += is_framed ? unframe(connection, at, (size_t)got) : (size_t)got;
    }
    connection->held_length = 0;
    return true;
}

/* Read the answer to UPGRADE. A broker has nothing to say behind it before it got a CONNECT. */
static bool has_upgraded(struct connection *connection) {
    char *answer = (char *)connection->held;
    ssize_t got = receive_bytes(connection, connection->held + connection->held_length,
                                HELD_SIZE - 1 - connection->held_length);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) fail("no answer of HTTP within %d bytes", HELD_SIZE);
    connection->held_length += (size_t)got;
    answer[connection->held_length] = 0;
    if (!strstr(answer, "\r\n\r\n")) return false;
    if (strncmp(answer, "HTTP/1.1 101 ", 13) || !strstr(answer, ACCEPTED))
        fail("no WebSocket but %.*s", (int)strcspn(answer, "\r\n\""), answer);
    connection->held_length = 0;
    return true;
}

/* One step from socket to READY: handshakes of TCP, TLS, WebSocket; CONNECT and CONNACK; SUBSCRIBE and SUBACK. */
static void continue_opening(struct connection *connection, uint64_t number) {
    const uint8_t *held = connection->held;
    if (connection->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) fail("connect: %s", strerror(error));
        connection->state = SECURING;
        listen_for(connection, EPOLLIN, EPOLL_CTL_MOD);
    }
    if (connection->state == SECURING) {
        if (is_secure && !has_secured(connection)) return;
        connection->state = UPGRADING;
        if (is_framed && send_bytes(connection, (const uint8_t *)UPGRADE, strlen(UPGRADE)) != strlen(UPGRADE))
            fail("the broker did not take a request");
    }
    if (connection->state == UPGRADING) {
        if (is_framed && !has_upgraded(connection)) return;
        send_connect(connection, number);
        connection->state = AWAITS_CONNACK;
    } else if (connection->state == AWAITS_CONNACK) {
        if (!read_small(connection, 4)) return;
        if (held[0] != 0x20 || held[1] != 2 || held[3] != 0)
            fail("no CONNACK with code 0 but %02x %02x %02x %02x", held[0], held[1], held[2], held[3]);
        if (connection->returns && !held[2]) fail("the broker did not keep a session");
        bool must_subscribe = connection->subscribes && !connection->returns;
        connection->state = must_subscribe ? AWAITS_SUBACK : READY;
        if (must_subscribe) send_subscribe(connection);
    } else if (connection->state == AWAITS_SUBACK) {
        if (!read_small(connection, 5)) return;
        if (held[0] != 0x90 || held[1] != 3 || held[4] != subscription_qos(connection))
            fail("no SUBACK that grants QoS %d but %02x %02x, code %02x", subscription_qos(connection), held[0],
                 held[1], held[4]);
        connection->state = READY;
    }
}

/* Open `count` connections, some at a time. Returns how many are ready when all are, or time is over. */
static int open_connections(struct connection *first, int count, double limit) {
    static struct epoll_event events[EVENTS];
    int started = 0, ready = 0;
    double deadline = now() + limit, last_progress = now();
    while (ready < count && now() < deadline && now() - last_progress < patience) {
        while (started < count && started - ready < OPENING_AT_ONCE) {
            start_connection(&first[started], (uint64_t)(started / 20000)); /* 20,000 fit one address */
            started++;
        }
        int happened = epoll_wait(loop, events, EVENTS, 20);
        for (int i = 0; i < happened; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection->state == READY && connection->returns) continue; /* its messages, for later */
            if (connection->state == READY) fail("the broker spoke or closed before it was asked");
            continue_opening(connection, (uint64_t)(connection - connections));
            if (connection->state == READY) ready++;
        }
        if (happened) last_progress = now();
    }
    return ready;
}

static void end_connection(struct connection *connection) {
    static const uint8_t DISCONNECT[] = {0xe0, 0};
    send(connection->fd, DISCONNECT, sizeof DISCONNECT, MSG_NOSIGNAL);
    close(connection->fd); /* takes it out of epoll too */
    connection->state = CLOSED;
}

static void make_connections(int count) {
    connections = calloc((size_t)count, sizeof *connections);
    loop = epoll_create1(EPOLL_CLOEXEC);
    if (!connections || loop < 0) fail("no memory, or no epoll");
    connection_count = count;
}

/* ---- flood: frames out -------------------------------------------------------------------------- */

/* Prepare the ring. At QoS 1 each frame has its own packet id, position + 1, and the ring is twice the
 * window, so that an id comes round only after its PUBACK; at QoS 0 all frames are alike. */
static void prepare_ring(struct flow *flow) {
    size_t remaining = 2 + flow->topic_length + (qos ? 2 : 0) + (size_t)payload;
    if (remaining > 127) fail("topic and payload are too long for a one-byte Remaining Length");
    flow->frame = 2 + remaining;
    flow->frames = (size_t)window_size * (qos ? 2 : 1);
    flow->ring = malloc(flow->frame * flow->frames);
    if (!flow->ring) fail("no memory");
    for (size_t i = 0; i < flow->frames; i++) {
        uint8_t *at = flow->ring + i * flow->frame;
        *at++ = qos ? 0x32 : 0x30;
        *at++ = (uint8_t)remaining;
        *at++ = 0;
        *at++ = (uint8_t)flow->topic_length;
        memcpy(at, flow->topic, flow->topic_length);
        at += flow->topic_length;
        if (qos) {
            *at++ = (uint8_t)((i + 1) >> 8);
            *at++ = (uint8_t)(i + 1);
        }
        memset(at, 'x', (size_t)payload);
    }
}

/* Give the socket what it takes; the rest stays in `rest` until the socket is writable. */
static void transmit(struct connection *connection, const uint8_t *bytes, size_t length) {
    ssize_t taken = send_bytes(connection, bytes, length);
    if (taken < 0 && errno != EAGAIN && errno != EINTR) fail("the broker closed a connection: %s", strerror(errno));
    if (taken < 0) taken = 0;
    bool was_waiting = connection->rest_length > 0;
    connection->rest = bytes + taken;
    connection->rest_length = length - (size_t)taken;
    bool is_waiting = connection->rest_length > 0;
    if (was_waiting != is_waiting)
        listen_for(connection, EPOLLIN | (is_waiting ? EPOLLOUT : 0), EPOLL_CTL_MOD);
}

static uint64_t slowest_subscriber(const struct flow *flow) {
    uint64_t least = flow->subscribers[0].received;
    for (int i = 1; i < flow->subscriber_count; i++)
        if (flow->subscribers[i].received < least) least = flow->subscribers[i].received;
    return least;
}

/* Send as much as the window allows, but no block so small that the write would be the main cost.
 * With several publishers on one topic each may go ahead of its equal part of what was received. */
static void pump(struct flow *flow) {
    uint64_t delivered = absent ? UINT64_MAX : slowest_subscriber(flow) / (uint64_t)flow->publisher_count;
    flow->dirty = false;
    for (int i = 0; i < flow->publisher_count; i++) {
        struct connection *publisher = &flow->publishers[i];
        if (publisher->rest_length) continue;
        uint64_t done = qos && publisher->acked < delivered ? publisher->acked : delivered;
        int64_t room = (int64_t)window_size - (int64_t)(publisher->sent - done);
        if (room > (int64_t)window_size) room = (int64_t)window_size;
        if (room < (int64_t)block_size) continue;
        size_t count = (size_t)room, position = 0;
        if (messages && count > (uint64_t)messages - publisher->sent) count = (uint64_t)messages - publisher->sent;
        if (!count) continue;
        if (qos) {
            position = publisher->sent % flow->frames;
            if (count > flow->frames - position) count = flow->frames - position, flow->dirty = true;
            uint8_t *busy = memchr(publisher->in_flight + position, 1, count);
            if (busy) count = (size_t)(busy - publisher->in_flight) - position;
            if (!count) continue; /* the next id still waits for its PUBACK */
            memset(publisher->in_flight + position, 1, count);
        }
        publisher->sent += count;
        const uint8_t *packets = flow->ring + position * flow->frame;
        size_t length = count * flow->frame;
        if (is_framed) {
            length = write_messages(publisher->messages, packets, flow->frame, length);
            packets = publisher->messages;
        }
        transmit(publisher, packets, length);
    }
}

/* ---- flood: frames in --------------------------------------------------------------------------- */

static uint8_t read_buffer[HELD_SIZE + READ_SIZE];
static uint8_t ack_buffer[(HELD_SIZE + READ_SIZE) / 2]; /* no frame is shorter than eight bytes */
static uint8_t ack_messages[LONGEST_HEAD + 3 * sizeof ack_buffer]; /* four bytes become ten, as messages */

static void on_puback(struct connection *publisher, unsigned packet_id) {
    if (!publisher->in_flight || packet_id < 1 || packet_id > publisher->flow->frames ||
        !publisher->in_flight[packet_id - 1])
        fail("a PUBACK for packet id %u, which is not in flight", packet_id);
    publisher->in_flight[packet_id - 1] = 0;
    publisher->acked++;
}

/* Copy what the socket has not taken, and what comes behind it, out of the buffer that all share. */
static void keep(struct connection *subscriber, const uint8_t *more, size_t length) {
    uint8_t *kept = malloc(subscriber->rest_length + length);
    if (!kept) fail("no memory");
    memcpy(kept, subscriber->rest, subscriber->rest_length);
    memcpy(kept + subscriber->rest_length, more, length);
    free(subscriber->acks);
    subscriber->acks = kept;
    subscriber->rest = kept;
    subscriber->rest_length += length;
}

/* Send the PUBACKs in ack_buffer, behind those that the socket has not taken yet. */
static void acknowledge(struct connection *subscriber, size_t length) {
    const uint8_t *acks = ack_buffer;
    if (is_framed) {
        length = write_messages(ack_messages, ack_buffer, 4, length);
        acks = ack_messages;
    }
    if (subscriber->rest_length) {
        keep(subscriber, acks, length);
    } else {
        transmit(subscriber, acks, length);
        if (subscriber->rest_length) keep(subscriber, acks, 0);
    }
}

/* Count the whole frames between `at` and `end`, write PUBACKs for those of QoS 1, keep what is left. */
static void scan(struct connection *connection, const uint8_t *at, const uint8_t *end) {
    const struct flow *flow = connection->flow;
    const size_t frame = flow->frame, id_at = 4 + flow->topic_length;
    uint8_t *ack = ack_buffer;
    uint64_t before = connection->received + connection->acked;
    if (connection->subscribes) {
        const uint8_t head = qos ? 0x32 : 0x30, remaining = (uint8_t)(frame - 2);
        for (; at + frame <= end; at += frame) {
            if ((at[0] & ~0x08) != head || at[1] != remaining) /* 0x08: DUP */
                fail("a subscriber got a frame that begins %02x %02x, expected %02x %02x", at[0], at[1], head,
                     remaining);
            if (qos) {
                *ack++ = 0x40, *ack++ = 2, *ack++ = at[id_at], *ack++ = at[id_at + 1];
            }
            connection->received++;
        }
    } else {
        for (; at + 4 <= end; at += 4) {
            if (at[0] != 0x40 || at[1] != 2) fail("a publisher got a frame that begins %02x %02x", at[0], at[1]);
            on_puback(connection, (unsigned)at[2] << 8 | at[3]);
        }
    }
    connection->held_length = (size_t)(end - at);
    if (connection->held_length) memcpy(connection->held, at, connection->held_length);
    frames_seen += connection->received + connection->acked - before;
    if (ack != ack_buffer) acknowledge(connection, (size_t)(ack - ack_buffer));
}

static void receive(struct connection *connection) {
    uint8_t *bytes = read_buffer + HELD_SIZE;
    ssize_t got;
    do {
        got = receive_bytes(connection, bytes, READ_SIZE);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) fail("the broker closed a connection");
        size_t length = is_framed ? unframe(connection, bytes, (size_t)got) : (size_t)got;
        uint8_t *start = bytes - connection->held_length;
        memcpy(start, connection->held, connection->held_length);
        scan(connection, start, bytes + length);
        connection->flow->dirty = true;
    } while (is_secure && got == READ_SIZE); /* what is left is in TLS already: no epoll tells of it */
}

/* ---- flood: the run ----------------------------------------------------------------------------- */

static struct flow *flows;
static int flow_count;

static void lay_out_flows(void) {
    bool pairs = !strcmp(shape, "pairs");
    if (!pairs && strcmp(shape, "out") && strcmp(shape, "in")) usage("--shape must be pairs, out or in");
    if (pairs && publishers != subscribers) usage("pairs need as many publishers as subscribers");
    flow_count = pairs ? (int)publishers : 1;
    flows = calloc((size_t)flow_count, sizeof *flows);
    make_connections((int)publishers + (int)subscribers + (int)frozen);
    if (!flows) fail("no memory");
    for (int i = 0; i < flow_count; i++) { /* all subscribers come first: they are opened first */
        struct flow *flow = &flows[i];
        flow->topic_length = (size_t)snprintf(flow->topic, sizeof flow->topic, "bench/%d", i);
        flow->subscriber_count = pairs ? 1 : (int)subscribers;
        flow->publisher_count = pairs ? 1 : (int)publishers;
        flow->subscribers = &connections[i];
        flow->publishers = &connections[(int)subscribers + i];
        prepare_ring(flow);
        for (int k = 0; k < flow->subscriber_count; k++) {
            flow->subscribers[k].flow = flow;
            flow->subscribers[k].subscribes = true;
            flow->subscribers[k].keeps = keep_sessions || absent;
        }
        for (int k = 0; k < flow->publisher_count; k++) {
            flow->publishers[k].flow = flow;
            if (qos) flow->publishers[k].in_flight = calloc(flow->frames, 1);
            if (is_framed) {
                flow->publishers[k].messages = malloc(room_for_messages(flow->frame, (size_t)window_size));
                if (!flow->publishers[k].messages) fail("no memory");
            }
        }
    }
    for (int i = 0; i < (int)frozen; i++) { /* they are no part of a flow's subscribers: nobody waits for them */
        struct connection *connection = &connections[(int)subscribers + (int)publishers + i];
        connection->flow = &flows[i % flow_count];
        connection->subscribes = connection->freezes = true;
    }
}

struct total { uint64_t sent, acked, expected, received, missing, surplus; };

static struct total count_all(void) {
    struct total total = {0};
    for (int i = 0; i < flow_count; i++) {
        uint64_t sent = 0;
        for (int k = 0; k < flows[i].publisher_count; k++) {
            sent += flows[i].publishers[k].sent;
            total.acked += flows[i].publishers[k].acked;
        }
        total.sent += sent;
        for (int k = 0; k < flows[i].subscriber_count; k++) {
            uint64_t received = flows[i].subscribers[k].received;
            total.expected += sent;
            total.received += received;
            if (received < sent) total.missing += sent - received;
            else total.surplus += received - sent;
        }
    }
    return total;
}

static bool all_acked(void) {
    struct total total = count_all();
    return total.acked == total.sent;
}

static bool all_arrived(void) { return !count_all().missing && (!qos || all_acked()); }

static bool all_sent_and_acked(void) {
    struct total total = count_all();
    return total.acked == total.sent && total.sent == (uint64_t)(messages * publishers);
}

/* Let more arrive before the next turn, if the last one brought little. Woken for every message, this
 * process would read, acknowledge and send in the smallest pieces, and the broker would pay for that: to
 * wake a process on another core costs the sender more than the message. Network cards hold back
 * interrupts for the same reason. It is the brokers with one write a message that gain by it. */
static void gather(int sockets) {
    static uint64_t seen;
    struct timespec pause = {.tv_nsec = (long)(gather_us * 1000)};
    uint64_t few = (uint64_t)sockets * FEW_PER_SOCKET;
    if (few < FEW_FRAMES) few = FEW_FRAMES;
    if (frames_seen - seen < few && gather_us > 0) nanosleep(&pause, NULL);
    seen = frames_seen;
}

/* Send the TCP acknowledgements that the system delays, 40 ms at worst, in the hope of data to go with them.
 * A broker that leaves Nagle's algorithm on waits for them with its last messages, and this end has nothing
 * to send before it has these: both would wait. Without this, aedes has at times a quarter of its figure. */
static void acknowledge_in_tcp(void) {
    int value = 2; /* even: what is due now; later ones may be delayed again */
    for (int i = 0; i < connection_count; i++)
        if (connections[i].state == READY)
            setsockopt(connections[i].fd, IPPROTO_TCP, TCP_QUICKACK, &value, sizeof value);
}

static void one_turn(bool may_send) {
    static struct epoll_event events[EVENTS];
    static int happened;
    gather(happened);
    bool was_quiet = !happened;
    happened = epoll_wait(loop, events, EVENTS, was_quiet ? 20 : 1);
    if (!happened && !was_quiet) acknowledge_in_tcp();
    for (int i = 0; i < happened; i++) {
        struct connection *connection = events[i].data.ptr;
        if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(connection);
        if (events[i].events & EPOLLOUT && connection->rest_length) {
            transmit(connection, connection->rest, connection->rest_length);
            connection->flow->dirty = true;
        }
    }
    if (may_send)
        for (int i = 0; i < flow_count; i++)
            if (flows[i].dirty) pump(&flows[i]);
}

/* Go on until it is over or the time is. False if it was the time, or if nothing moved for --patience seconds. */
static bool go_on(double limit, bool may_send, bool (*is_over)(void)) {
    double began = now(), time = began, last_progress = began;
    uint64_t seen = frames_seen;
    for (; time - began < limit; time = now()) {
        if (is_over && is_over()) return true;
        one_turn(may_send);
        if (frames_seen != seen) seen = frames_seen, last_progress = time;
        if (time - last_progress > patience) return false;
    }
    return !is_over;
}

/* What the figure counts. */
static uint64_t counted(void) {
    struct total total = count_all();
    return absent ? total.acked : total.received;
}

/* Let it flow, measure a stretch of it, and wait for all that is on its way. The rate; or 0 if it did not flow. */
static double measure(struct stretch *stretch) {
    for (int i = 0; i < flow_count; i++) flows[i].dirty = true;
    bool flowed = messages || go_on(warmup, true, NULL);
    begin_stretch(stretch);
    uint64_t before = counted();
    if (messages) flowed = go_on(FILLING, true, all_sent_and_acked);
    else flowed = flowed && go_on(seconds, true, NULL);
    end_stretch(stretch);
    double value = (double)(counted() - before) / stretch->lasted;
    return flowed && go_on(6 * patience, false, absent ? all_acked : all_arrived) ? value : 0;
}

static void open_all(int first, int count) {
    int ready = open_connections(&connections[first], count, opening);
    if (ready < count) fail("only %d of %d connections were accepted", ready, count);
}

/* End the connections of the subscribers whose sessions are kept, and see the broker end them too. */
static void send_subscribers_away(void) {
    for (int i = 0; i < (int)subscribers; i++) {
        static const uint8_t DISCONNECT[] = {0xe0, 0};
        struct pollfd ended = {.fd = connections[i].fd, .events = POLLIN};
        send_small(&connections[i], DISCONNECT, sizeof DISCONNECT);
        if (poll(&ended, 1, (int)(patience * 1000)) <= 0) fail("the broker did not close after DISCONNECT");
        close(connections[i].fd);
        connections[i].state = CLOSED;
    }
}

/* Let them come back and get what waits for them. Messages a second. */
static double collect_all(void) {
    double began = now();
    for (int i = 0; i < (int)subscribers; i++) connections[i].returns = connections[i].keeps = true;
    open_all(0, (int)subscribers);
    uint64_t before = count_all().received;
    go_on(FILLING, false, all_arrived);
    return (double)(count_all().received - before) / (now() - began);
}

static void freeze(void) {
    int first = (int)subscribers + (int)publishers;
    open_all(first, (int)frozen);
    for (int i = first; i < connection_count; i++) epoll_ctl(loop, EPOLL_CTL_DEL, connections[i].fd, NULL);
}

/* Read what there is for the frozen subscribers. How many of them the broker had cut off. */
static int thaw(double *bytes) {
    int cut = 0;
    for (int i = (int)subscribers + (int)publishers; i < connection_count; i++) {
        struct pollfd readable = {.fd = connections[i].fd, .events = POLLIN};
        double limit = now() + patience;
        while (now() < limit && poll(&readable, 1, (int)(THAWING * 1000)) > 0) {
            ssize_t got = recv(readable.fd, read_buffer, READ_SIZE, 0);
            if (got > 0) *bytes += (double)got;
            else if (got == 0 || (errno != EAGAIN && errno != EINTR)) { cut++; break; }
        }
    }
    return cut;
}

static void print_flood(const struct stretch *stretch, double value, const char *more) {
    struct total total = count_all();
    bool unacked = qos && total.acked != total.sent;
    if (absent && !collects) total.received = total.acked, total.missing = total.expected - total.acked;
    const char *problem = total.missing || unacked ? "lost" : total.surplus ? "duplicates"
                          : value <= 0 ? "stalled" /* though all of it came in the end, when the frozen ones read */
                          : NULL;
    printf("{\"ok\": %s, ", problem ? "false" : "true");
    if (problem) printf("\"problem\": \"%s\", ", problem);
    else printf("\"value\": %.1f, ", value);
    printf("%s\"sent\": %llu, \"acked\": %llu, \"expected\": %llu, \"received\": %llu, \"missing\": %llu, "
           "\"surplus\": %llu, \"seconds\": %.3f, \"load_cpu\": %.3f, \"broker_cpu\": %.3f, \"each_cpu\": [", more,
           (unsigned long long)total.sent, (unsigned long long)total.acked, (unsigned long long)total.expected,
           (unsigned long long)total.received, (unsigned long long)total.missing,
           (unsigned long long)total.surplus, stretch->lasted, stretch->own_share, stretch->broker_share);
    for (int i = 0; i < stretch->watched; i++) printf("%s%.3f", i ? ", " : "", stretch->each_share[i]);
    printf("]}\n");
    fflush(stdout);
    exit(problem ? 1 : 0);
}

static void flood(void) {
    struct stretch stretch;
    char more[256] = "";
    if (block_size < 1) block_size = window_size >= 4 ? (double)(int)(window_size / 4) : 1;
    if (block_size > window_size) block_size = window_size;
    lay_out_flows();
    open_all(0, (int)subscribers);
    if (absent) send_subscribers_away();
    open_all((int)subscribers, (int)publishers);
    double before = watched_memory();
    double value = measure(&stretch);
    if (absent) {
        double grown = watched_memory() - before, rate = collects && all_acked() ? collect_all() : 0;
        snprintf(more, sizeof more, "\"grown_kib\": %.0f, \"collected\": %.1f, ", grown, rate);
    } else if (frozen && value > 0) {
        double alone = value, held = 0;
        before = watched_memory();
        freeze();
        value = measure(&stretch);
        double grown = watched_memory() - before;
        int cut = thaw(&held);
        snprintf(more, sizeof more, "\"alone\": %.1f, \"share\": %.4f, \"grown_kib\": %.0f, \"grown_mib\": %.2f, "
                 "\"held_bytes\": %.0f, \"cut\": %d, ", alone, value / alone, grown, grown / 1024, held, cut);
    }
    go_on(WAITING_FOR_MORE, false, NULL);
    print_flood(&stretch, value, more);
}

/* The messages of one session that is kept since an earlier run, as many as that run sent. */
static void collect(void) {
    struct stretch stretch;
    if (!*id || messages < 1 || publishers != 1 || subscribers != 1) usage("collect takes --id and --messages");
    qos = 1;
    lay_out_flows();
    flows->publishers->sent = flows->publishers->acked = (uint64_t)messages;
    begin_stretch(&stretch);
    double value = collect_all();
    end_stretch(&stretch);
    go_on(WAITING_FOR_MORE, false, NULL);
    print_flood(&stretch, value, "");
}

/* ---- latency ------------------------------------------------------------------------------------ */

static int compare_doubles(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void sleep_until(double due) {
    struct timespec time = {.tv_sec = (time_t)due};
    time.tv_nsec = (long)((due - (double)time.tv_sec) * 1e9);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {}
}

/* Publish one message, wait until it comes back on another connection: microseconds in between. */
static double round_trip(struct connection *publisher, struct connection *subscriber) {
    uint64_t wanted = subscriber->received + 1;
    double began = now();
    send_small(publisher, publisher->flow->ring, publisher->flow->frame);
    while (subscriber->received < wanted) {
        struct pollfd readable = {.fd = subscriber->fd, .events = POLLIN};
        if (poll(&readable, 1, (int)(patience * 1000)) <= 0)
            fail("message %llu did not come back within %g s", (unsigned long long)wanted, patience);
        receive(subscriber);
    }
    return (now() - began) * 1e6;
}

static void latency(void) {
    int count = (int)samples, unmeasured = count / 10;
    double *times = malloc(sizeof *times * (size_t)count), sum = 0;
    struct stretch stretch;
    if (qos || publishers != 1 || subscribers != 1) usage("latency is one to one, QoS 0");
    lay_out_flows();
    if (!times || open_connections(connections, 2, opening) < 2) fail("the connections were not accepted");
    begin_stretch(&stretch);
    double due = now(), limit = due + warmup + seconds + (samples * 1.1) / rate;
    for (int i = -unmeasured; i < count; i++) {
        sleep_until(due += 1 / rate);
        double time = round_trip(&connections[1], &connections[0]);
        if (i >= 0) sum += times[i] = time;
        if (now() > limit) fail("%d round trips took too long", i + unmeasured + 1);
    }
    end_stretch(&stretch);
    qsort(times, (size_t)count, sizeof *times, compare_doubles);
    printf("{\"ok\": true, \"value\": %.1f, \"p50\": %.1f, \"p99\": %.1f, \"least\": %.1f, \"mean\": %.1f, "
           "\"samples\": %d, \"load_cpu\": %.3f, \"broker_cpu\": %.3f}\n",
           times[count / 2], times[count / 2], times[(int)(count * 0.99)], times[0], sum / count, count,
           stretch.own_share, stretch.broker_share);
}

/* ---- idle clients, and connections a second ------------------------------------------------------ */

static void idle(void) {
    int lost = 0;
    double began = now();
    make_connections((int)clients);
    int ready = open_connections(connections, (int)clients, opening);
    printf("{\"event\": \"holding\", \"clients\": %d, \"seconds\": %.3f}\n", ready, now() - began);
    fflush(stdout);
    struct pollfd told = {.fd = 0, .events = POLLIN};
    poll(&told, 1, (int)(holding * 1000));
    for (int i = 0; i < connection_count; i++) { /* all must still be there, and silent */
        char byte;
        if (connections[i].state != READY) continue;
        if (recv(connections[i].fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno != EAGAIN) lost++;
    }
    if (!ready) fail("no connection was accepted");
    if (lost) fail("the broker closed %d of %d idle connections", lost, ready);
    printf("{\"ok\": true, \"value\": %d, \"clients\": %d}\n", ready, ready);
}

/* --parallel places; in each one connection after the other: TCP, CONNECT, CONNACK, DISCONNECT, close. */
static void connect_rate(void) {
    static struct epoll_event events[EVENTS];
    struct stretch stretch = {0};
    uint64_t number = 0, done = 0, done_before = 0;
    bool measuring = false;
    make_connections((int)parallel);
    for (int i = 0; i < connection_count; i++) start_connection(&connections[i], ++number);
    double began = now(), last_progress = began;
    for (;;) {
        int happened = epoll_wait(loop, events, EVENTS, 20);
        double time = now();
        for (int i = 0; i < happened; i++) {
            struct connection *connection = events[i].data.ptr;
            continue_opening(connection, ++number);
            if (connection->state != READY) continue;
            end_connection(connection);
            done++;
            start_connection(connection, ++number);
        }
        if (happened) last_progress = time;
        if (time - last_progress > patience) fail("no connection was accepted for %g s", patience);
        if (!measuring && time - began >= warmup) {
            begin_stretch(&stretch);
            measuring = true, done_before = done;
        } else if (measuring && time - began >= warmup + seconds) {
            break;
        }
    }
    end_stretch(&stretch);
    printf("{\"ok\": true, \"value\": %.1f, \"seconds\": %.3f, \"load_cpu\": %.3f, \"broker_cpu\": %.3f}\n",
           (double)(done - done_before) / stretch.lasted, stretch.lasted, stretch.own_share, stretch.broker_share);
}

/* ---- main --------------------------------------------------------------------------------------- */

static void raise_file_limit(void) {
    rlim_t needed = (rlim_t)(clients > EVENTS ? clients : EVENTS) + 100;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= needed) return;
    limit.rlim_cur = needed;
    if (limit.rlim_max < needed) limit.rlim_max = needed;
    if (setrlimit(RLIMIT_NOFILE, &limit)) fail("the limit of open files is too low for %g clients", clients);
}

int main(int count, char **words) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* no load outlives the program that asked for it */
    prctl(PR_SET_TIMERSLACK, 1UL);    /* nanoseconds; the default adds 50 microseconds to each pause */
    read_options(count, words);
    raise_file_limit();
    if (!strcmp(scenario, "flood")) flood();
    else if (!strcmp(scenario, "collect")) collect();
    else if (!strcmp(scenario, "latency")) latency();
    else if (!strcmp(scenario, "idle")) idle();
    else if (!strcmp(scenario, "connect")) connect_rate();
    else usage("the scenarios are flood, collect, latency, idle and connect");
    return 0;
}
