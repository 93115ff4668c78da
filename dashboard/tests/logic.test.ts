// @vitest-environment happy-dom
/** What needs no screen: drafts, targets, notifications, rates, routes, words. */
import { describe, expect, test } from "vitest";
import { Api, ApiError } from "../src/api/api";
import { formatAge, formatBytes, formatCount, formatDuration, formatLatency, formatRate, formatShort, formatTime } from "../src/format";
import { LEAST_MS, Ruling, rulesOf } from "../src/notify/rules";
import { Painter } from "../src/paint";
import { sparkPath } from "../src/parts/spark";
import { hrefTo, routeOf } from "../src/router";
import { Charted } from "../src/topics/charted";
import { History } from "../src/topics/history";
import { MOST, Pace } from "../src/topics/pace";
import { Publishers, UNKNOWN } from "../src/topics/publishers";
import { hostOf } from "../src/views/clients/ban-dialog";
import { isLoopback, shellWord, SNIPPETS, splitAddress, targetsOf } from "../src/views/connect/targets";
import { followed, troubleOf, type Trend } from "../src/views/overview/bridges";
import { extended, NOTHING, sampleOfSys, type Sample } from "../src/views/overview/samples";
import { EMPTY, faultsOf, messageOf } from "../src/views/publish/draft";
import { BRIDGE } from "./fakes";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("a draft", () => {
  test("has its faults told field by field", () => {
    expect(faultsOf({ ...EMPTY, topic: "a" })).toEqual({});
    const wrong = faultsOf({ ...EMPTY, topic: "a/#", format: "hex", payload: "xyz", expiry: "-1", correlationData: "1" });
    expect(Object.keys(wrong).sort()).toEqual(["correlationData", "expiry", "payload", "topic"]);
    expect(faultsOf({ ...EMPTY, topic: "a", expiry: "4294967296" }).expiry).toBeDefined();
  });

  test("becomes a message", () => {
    const message = messageOf({
      ...EMPTY,
      topic: "a",
      format: "hex",
      payload: "00 ff",
      qos: 1,
      retain: true,
      expiry: "60",
      user: [
        { name: "k", value: "v" },
        { name: "", value: "" },
      ],
    });
    expect(message).toMatchObject({ topic: "a", payload: new Uint8Array([0, 255]), qos: 1, retain: true });
    expect(message.properties).toMatchObject({ expiry: 60, user: [{ name: "k", value: "v" }] });
  });
});

describe("where devices connect", () => {
  test.each([
    ["127.0.0.1:1883", "127.0.0.1", 1883],
    ["[::1]:1883", "::1", 1883],
    ["mqtts://broker.example:8883", "broker.example", 8883],
    ["ws://0.0.0.0:8080/mqtt", "0.0.0.0", 8080],
  ])("%s is %s and %d", (address, host, port) => expect(splitAddress(address)).toEqual({ host, port }));

  test("a socket of Unix is no place for them", () => expect(splitAddress("unix:/run/telex.sock")).toBeNull());

  test("is what others reach, by the name of the page, TLS first", () => {
    const listener = (address: string, protocol: string, tls: boolean) => ({ address, protocol, tls, clients: 0 });
    const targets = targetsOf(
      [
        listener("127.0.0.1:1884", "mqtt", false),
        listener("0.0.0.0:1883", "mqtt", false),
        listener("0.0.0.0:8883", "mqtt", true),
        listener("0.0.0.0:8080", "websocket", false),
      ],
      "pi.local",
      "ann",
    );
    expect(targets.map((target) => `${target.host}:${target.port}`)).toEqual(["pi.local:8883", "pi.local:1883", "127.0.0.1:1884"]);
    expect(isLoopback("localhost")).toBe(true);
  });

  test("has lines for each kind, with the name and without the password of whoever looks", () => {
    const target = { host: "pi.local", port: 8883, isTls: true, user: "o'neil" };
    for (const snippet of SNIPPETS) {
      const text = snippet.text(target);
      expect(text).toContain("pi.local");
      expect(text).toContain("8883");
    }
    expect(SNIPPETS[0].text(target)).toContain("-u 'o'\\''neil' -P PASSWORD");
    expect(shellWord("a b")).toBe("'a b'");
    expect(JSON.parse(SNIPPETS.find(({ id }) => id === "node-red")?.text(target) ?? "")).toHaveLength(2);
  });
});

describe("notifications", () => {
  const rule = (when: "any" | "changed" | "above" | "below", bound = 0) => new Ruling({ topic: "t", when, bound });

  test("come with a change of the value, not with the first", () => {
    const ruling = rule("changed");
    expect([ruling.judge(bytes("1"), 0), ruling.judge(bytes("1"), 1), ruling.judge(bytes("2"), 2)]).toEqual([null, null, 0]);
  });

  test("come when a bound is crossed, not as long as it is", () => {
    const ruling = rule("above", 30);
    const times = ["29", "31", "32", "no number", "29", "33"].map((value, i) => ruling.judge(bytes(value), i * LEAST_MS));
    expect(times).toEqual([null, 0, null, null, null, 0]);
    expect(rule("below", 5).judge(bytes("4"), 0)).toBe(0);
  });

  test("do not come one upon the other, and say how many were left out", () => {
    const ruling = rule("any");
    expect(ruling.judge(bytes("1"), 0)).toBe(0);
    expect(ruling.judge(bytes("2"), LEAST_MS - 1)).toBeNull();
    expect(ruling.judge(bytes("3"), LEAST_MS)).toBe(1);
  });

  test("are remembered, but for what is none", () => {
    expect(rulesOf('[{"topic":"t","when":"any","bound":0},{"topic":""},5]')).toEqual([{ topic: "t", when: "any", bound: 0 }]);
    expect(rulesOf("{")).toEqual([]);
    expect(rulesOf(null)).toEqual([]);
  });
});

describe("rates", () => {
  const empty = NOTHING;
  const sample = (at: number, messagesReceived: number): Sample => ({
    at,
    messagesReceived,
    messagesSent: 0,
    bytesReceived: 0,
    bytesSent: 0,
    clients: 1,
    dropped: 0,
    waiting: 3,
    memory: null,
  });

  test("are what came between two looks", () => {
    const first = sample(1000, 100);
    const columns = extended(extended(empty, null, first, 1), first, sample(3000, 150), 2);
    expect(columns.messagesIn).toEqual([null, 25]);
    expect(columns.latency).toEqual([1, 2]);
    expect(columns.waiting).toEqual([3, 3]);
  });

  test("are unknown after a restart, and after a long while", () => {
    expect(extended(empty, sample(1000, 100), sample(2000, 5), 1).messagesIn).toEqual([null]);
    expect(extended(empty, sample(1000, 100), sample(60_000, 200), 1).messagesIn).toEqual([null]);
  });

  test("are kept for five minutes", () => {
    let columns = extended(empty, null, sample(0, 0), null);
    for (let i = 1; i < 400; i++) columns = extended(columns, sample((i - 1) * 1000, i - 1), sample(i * 1000, i), null);
    expect(columns.x).toHaveLength(300);
  });

  test("are read from $SYS when all of it has come", () => {
    const values = new Map([
      ["$SYS/broker/publish/messages/received", "10"],
      ["$SYS/broker/publish/messages/sent", "20"],
      ["$SYS/broker/bytes/received", "30"],
      ["$SYS/broker/bytes/sent", "40"],
      ["$SYS/broker/clients/connected", "2"],
    ]);
    expect(sampleOfSys(values, 5)).toBeNull();
    values.set("$SYS/broker/publish/messages/dropped", "0");
    expect(sampleOfSys(values, 5)).toMatchObject({ at: 5, messagesReceived: 10, bytesSent: 40, clients: 2, memory: null });
    values.set("$SYS/broker/heap/current", "1000000");
    expect(sampleOfSys(values, 5)).toMatchObject({ memory: 1_000_000, waiting: null });
  });
});

describe("bridges", () => {
  const now = Date.parse("2026-01-02T03:04:15Z");

  test("are followed for two minutes, and forgotten with their configuration", () => {
    let trends: ReadonlyMap<string, Trend> = new Map();
    for (let i = 0; i < 70; i++) {
      const rates = { ...BRIDGE.rates, messages_sent_per_second: i };
      trends = followed(trends, [{ ...BRIDGE, rates }, { ...BRIDGE, name: "hq" }]);
    }
    expect(trends.get("cloud")?.outgoing).toEqual(Array.from({ length: 60 }, (_, i) => i + 10));
    expect(trends.get("cloud")?.incoming).toHaveLength(60);
    expect([...followed(trends, [BRIDGE]).keys()]).toEqual(["cloud"]);
  });

  test.each([
    [{ reason: "the remote left" }, null],
    [{ state: "idle", reason: "no messages for 60 s" }, null],
    [{ state: "connecting" }, null],
    [{ state: "connecting", reason: "nothing listens there" }, "Nothing listens there."],
    [{ state: "waiting", reason: "it is gone.", next_attempt: "2026-01-02T03:04:20Z" }, "It is gone. It tries again in 5 s."],
    [{ state: "waiting", next_attempt: "2026-01-02T03:04:10Z" }, "It tries again now."],
    [{ state: "waiting", reason: "" }, null],
    [{ state: "ended", reason: "it left" }, "It left. It is started once, and does not come back."],
  ] as const)("that are %o: %s", (changes, said) => expect(troubleOf({ ...BRIDGE, ...changes }, now)).toBe(said));
});

describe("a chart", () => {
  test("reads each message once", () => {
    const history = new History();
    const charted = new Charted(history, ["a"], { x: [], y: [] });
    history.add(bytes('{"a": 1}'), 0, false, 1000);
    const points = charted.points();
    expect(points).toEqual({ x: [1], y: [1] });
    expect(charted.points()).toBe(points);
    history.add(bytes('{"b": 1}'), 0, false, 2000);
    history.add(bytes('{"a": 3}'), 0, false, 3000);
    expect(charted.points().y).toEqual([1, 3]);
  });

  test("begins with what came before, without the message that it shares with the history", () => {
    const history = new History();
    history.add(bytes("5"), 0, false, 2000);
    const charted = new Charted(history, [], { x: [1, 2], y: [4, 5] });
    expect(charted.points().y).toEqual([4, 5]);
    history.add(bytes("6"), 0, false, 3000);
    expect(charted.points().y).toEqual([4, 5, 6]);
  });
});

describe("painting", () => {
  test("is asked for once, and waits for its time", () => {
    const waiting: ((time: number) => void)[] = [];
    let paints = 0;
    const painter = new Painter(() => paints++, { request: (callback) => waiting.push(callback) }, 100);
    const frame = (time: number): void => waiting.splice(0).forEach((callback) => callback(time));
    for (let i = 0; i < 1000; i++) painter.touch();
    expect(waiting).toHaveLength(1);
    frame(0);
    expect(paints).toBe(1);
    painter.touch();
    frame(50);
    expect(paints).toBe(1);
    frame(100);
    expect(paints).toBe(2);
    frame(200);
    expect(waiting).toHaveLength(0);
  });
});

describe("the API", () => {
  const api = (answer: () => Response | Promise<Response>) => new Api("http://h.test/telex/", (async () => answer()) as typeof fetch);

  test("tells a problem in the broker's words", async () => {
    const asked = api(() => new Response('{"title": "Forbidden", "status": 403, "detail": "Only for administrators."}', { status: 403 }));
    await expect(asked.broker()).rejects.toMatchObject({ status: 403, message: "Only for administrators." });
    await expect(api(() => new Response("<html>", { status: 502 })).broker()).rejects.toMatchObject({ status: 502 });
  });

  test("tells a broker that is not there from one that says no", async () => {
    const asked = api(() => Promise.reject(new TypeError("Failed to fetch")));
    await expect(asked.broker()).rejects.toEqual(new ApiError(0, "The broker does not answer."));
  });

  test("is below the page, wherever that is, and takes ids with any characters", async () => {
    const addresses: string[] = [];
    const asked = new Api("http://h.test/telex/", (async (address: URL) => {
      addresses.push(address.href);
      return new Response(null, { status: 204 });
    }) as unknown as typeof fetch);
    await asked.disconnect("a/b ?#", 300);
    expect(addresses).toEqual(["http://h.test/telex/api/v1/clients/a%2Fb%20%3F%23?ban=300"]);
  });
});

describe("routes", () => {
  test("are read and written", () => {
    expect(routeOf("#/topics?topic=a%2Fb").query.get("topic")).toBe("a/b");
    expect(routeOf(hrefTo("publish", { topic: "a/#b&c" })).query.get("topic")).toBe("a/#b&c");
    expect(routeOf("#/nowhere").view).toBe("overview");
    expect(routeOf("").view).toBe("overview");
  });
});

describe("words", () => {
  test("for numbers", () => {
    expect([0, 12.34, 0.99, 0.1, 0.017, 0.01].map(formatRate)).toEqual(["0/s", "12.3/s", "1/s", "6/min", "1/min", "36/h"]);
    expect([0, 0.25, 99.4, 950, 9994, 12_345, 4_500_000].map(formatShort)).toEqual(["0", "0.3", "99.4", "950", "9,994", "12.3k", "4.5M"]);
    expect(formatCount(1234567)).toBe("1,234,567");
  });
  test("for sizes", () => expect([0, 1023, 1024, 1536, 1048576].map(formatBytes)).toEqual(["0 B", "1,023 B", "1 KiB", "1.5 KiB", "1 MiB"]));
  test("for times", () => {
    expect([5, 65, 3600, 3700, 90_000].map(formatDuration)).toEqual(["5 s", "1 min", "1 h", "1 h 1 min", "1 d 1 h"]);
    expect(formatAge(0, 1000)).toBe("now");
    expect(formatAge(0, 12_000)).toBe("12 s");
    const at = new Date(2026, 0, 2, 3, 4, 5, 678).getTime();
    expect(formatTime(at, at)).toBe("03:04:05.6");
    expect(formatTime(at, at + 3 * 86_400_000)).toBe("2026-01-02 03:04:05");
  });
  test("for times that are short", () => {
    expect([0.04, 0.4, 9.94, 9.96, 35.4, 999.4, 999.6, 61_000].map(formatLatency)).toEqual([
      "0.0 ms", "0.4 ms", "9.9 ms", "10 ms", "35 ms", "999 ms", "1 s", "1 min",
    ]);
  });
  test("for addresses", () => {
    const addresses = ["10.0.0.7:50312", "[::1]:50312", "::1", "10.0.0.7"];
    expect(addresses.map(hostOf)).toEqual(["10.0.0.7", "::1", "::1", "10.0.0.7"]);
  });
});

describe("the line beside a number", () => {
  test("ends at the right edge, with the highest value at the top", () => {
    expect(sparkPath([0, 10, 5], 30, true)).toBe("M111.7 26.0L115.9 2.0L120.0 14.0");
    expect(sparkPath([20, 22, 21], 3, false)).toBe("M0.0 26.0L60.0 2.0L120.0 14.0");
  });

  test("lies at the bottom where all is nothing, in the middle where nothing changes, and leaves a gap out", () => {
    expect(sparkPath([0, null, 0, 0], 30, true)).toBe("M107.6 26.0M115.9 26.0L120.0 26.0");
    expect(sparkPath([7, 7], 2, false)).toBe("M0.0 14.0L120.0 14.0");
    expect(sparkPath([], 30, true)).toBe("");
  });
});

describe("the pace", () => {
  test("is a quarter of a second as long as that is not too much", () => {
    const pace = new Pace();
    for (let second = 0; second < 10; second++) expect(pace.measure(MOST, 1)).toBe(false);
    expect(pace.period).toBe(250);
  });

  test("gets slower under a flood until what comes is little enough, and fast again when it is over", () => {
    const pace = new Pace();
    const topics = 100_000; // each louder than any period
    const told = (): number => Math.min((topics * 1000) / pace.period, 10_000_000 / Math.max(pace.period, 1000)); // in a second
    for (let i = 0; i < 60; i++) pace.measure(told(), 1);
    expect(told()).toBeLessThanOrEqual(MOST);
    expect(pace.period).toBe(2000);
    for (let i = 0; i < 60; i++) pace.measure(10, 1);
    expect(pace.period).toBe(250);
  });

  test("takes what comes at the end of a period for what it is", () => {
    const pace = new Pace();
    pace.measure(100_000, 1);
    expect(pace.period).toBe(2000);
    for (let i = 0; i < 20; i++) expect(pace.measure(i % 2 === 1 ? 2 * MOST - 1 : 0, 1)).toBe(false);
  });
});

describe("publishers", () => {
  test("have a number each, with their user", () => {
    const publishers = new Publishers();
    const ann = publishers.numberOf("c1", "ann");
    expect(publishers.numberOf("c1", "ann")).toBe(ann);
    expect(publishers.numberOf("c1", null)).not.toBe(ann);
    expect(publishers.get(ann)).toEqual({ client: "c1", user: "ann" });
    expect(publishers.get(publishers.numberOf(null, null))).toEqual({ client: null, user: null });
  });

  test("are nobody in particular when there are too many", () => {
    const publishers = new Publishers();
    for (let i = 0; i < 65_535; i++) publishers.numberOf(`c${i}`, null);
    expect(publishers.numberOf("another", null)).toBe(UNKNOWN);
    expect(publishers.get(publishers.numberOf("c1", null)).client).toBe("c1");
  });
});
