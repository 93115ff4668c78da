// @vitest-environment happy-dom
/** The MQTT connection, with what browsers get of mqtt.js, against a broker that speaks MQTT over a WebSocket by hand. */
import mqttPacket, { type Packet } from "mqtt-packet";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Link } from "../src/link/link";

/** A WebSocket whose other end is a broker with one client. */
class Socket {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  static all: Socket[] = [];
  /** What the broker answers to CONNECT. */
  static reasonCode = 0;
  readyState = 0;
  binaryType = "arraybuffer";
  bufferedAmount = 0;
  onopen: ((event: unknown) => void) | null = null;
  onclose: ((event: unknown) => void) | null = null;
  onerror: ((event: unknown) => void) | null = null;
  onmessage: ((event: { data: ArrayBuffer }) => void) | null = null;
  readonly got: Packet[] = [];
  private readonly parser = mqttPacket.parser({ protocolVersion: 5 });

  constructor(
    readonly url: string,
    readonly protocols: readonly string[],
  ) {
    Socket.all.push(this);
    this.parser.on("packet", (packet) => this.handle(packet));
    setTimeout(() => {
      this.readyState = 1;
      this.onopen?.({});
    });
  }

  send(data: Uint8Array): void {
    this.parser.parse(Buffer.from(data));
  }

  close(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    setTimeout(() => this.onclose?.({}));
  }

  addEventListener(type: "open" | "close" | "error" | "message", listener: never): void {
    this[`on${type}`] = listener;
  }

  removeEventListener(): void {}

  say(packet: Packet): void {
    const bytes = new Uint8Array(mqttPacket.generate(packet, { protocolVersion: 5 }));
    this.onmessage?.({ data: bytes.buffer });
  }

  of<C extends Packet["cmd"]>(cmd: C): Extract<Packet, { cmd: C }>[] {
    return this.got.filter((packet): packet is Extract<Packet, { cmd: C }> => packet.cmd === cmd);
  }

  private handle(packet: Packet): void {
    this.got.push(packet);
    if (packet.cmd === "connect") this.say({ cmd: "connack", reasonCode: Socket.reasonCode, sessionPresent: false });
    if (packet.cmd === "subscribe") {
      const granted = [packet.subscriptions[0].topic === "secret" ? 0x87 : 0];
      this.say({ cmd: "suback", messageId: packet.messageId ?? 0, granted } as Packet);
    }
    if (packet.cmd === "publish" && packet.qos === 1) {
      this.say({ cmd: "puback", messageId: packet.messageId ?? 0, reasonCode: packet.topic === "secret" ? 0x87 : 0x10 });
    }
    if (packet.cmd === "pingreq") this.say({ cmd: "pingresp" });
  }
}

const state = (link: Link, wanted: string): Promise<void> => vi.waitFor(() => expect(link.state.value).toBe(wanted), 5000);
const socket = (): Socket => Socket.all[Socket.all.length - 1];
let link: Link;

beforeEach(() => {
  Socket.all = [];
  Socket.reasonCode = 0;
  vi.stubGlobal("WebSocket", Socket);
  link = new Link("ws://broker.test/mqtt");
});
afterEach(() => {
  link.close();
  vi.unstubAllGlobals();
});

describe("the link", () => {
  test("connects with MQTT 5, and asks for what is wanted by then", async () => {
    link.subscribe("a/#", () => undefined);
    link.open({ user: "ann", password: "pw" });
    await state(link, "online");
    expect(new URL(socket().url).href).toBe("ws://broker.test/mqtt");
    expect(socket().protocols).toEqual(["mqtt"]);
    expect(socket().of("connect")[0]).toMatchObject({ protocolVersion: 5, clean: true, username: "ann" });
    await vi.waitFor(() => expect(socket().of("subscribe")).toHaveLength(1));
    expect(socket().of("subscribe")[0].subscriptions[0]).toMatchObject({ topic: "a/#", qos: 0, rap: true, rh: 0 });
  });

  test("gives each message to whoever asked for it, once", async () => {
    const all: string[] = [];
    const one: string[] = [];
    link.subscribe("#", (topic) => all.push(topic));
    const isCopied = (payload: Uint8Array): boolean => payload.slice().buffer !== payload.buffer; // a Buffer's slice is none
    link.subscribe(
      "a",
      (topic, payload, qos, retained) => one.push(`${topic} ${payload.length} ${qos} ${retained} ${isCopied(payload)}`),
      { isLive: true },
    );
    link.open(null);
    await vi.waitFor(() => expect(socket()?.of("subscribe")).toHaveLength(2));
    expect(socket().of("subscribe")[1].subscriptions[0]).toMatchObject({ rh: 2 });
    const message = { cmd: "publish", topic: "a", payload: Buffer.from("xy"), qos: 0, dup: false, retain: true } as const;
    socket().say({ ...message, properties: { subscriptionIdentifier: 1 } });
    socket().say({ ...message, properties: { subscriptionIdentifier: 2 } });
    await vi.waitFor(() => expect(one).toEqual(["a 2 0 true true"]));
    expect(all).toEqual(["a"]);
  });

  test("asks for samples, reads what stands by them, and changes their period without asking for retained ones again", async () => {
    const told: unknown[] = [];
    link.subscribe("#", (_topic, _payload, _qos, _retained, sample) => told.push(sample), { period: 250 });
    link.open(null);
    await vi.waitFor(() => expect(socket()?.of("subscribe")).toHaveLength(1));
    expect(socket().of("subscribe")[0].properties?.userProperties).toEqual({ "telex.sample": "250" });
    const message = { cmd: "publish", topic: "a", payload: Buffer.from("x"), qos: 0, dup: false, retain: false } as const;
    const userProperties = {
      "telex.messages": ["1000000", "7"], // the first is of whoever published
      "telex.bytes": "70",
      "telex.at": "1700000000123",
      "telex.client": "sensor",
    };
    socket().say({ ...message, properties: { subscriptionIdentifier: 1, userProperties } });
    socket().say({ ...message, properties: { subscriptionIdentifier: 1, userProperties: { room: "1" } } });
    await vi.waitFor(() => expect(told).toHaveLength(2));
    expect(told).toEqual([{ messages: 7, bytes: 70, at: 1_700_000_000_123, client: "sensor", user: null }, null]);
    link.resample("#", 4000);
    await vi.waitFor(() => expect(socket().of("subscribe")).toHaveLength(2));
    expect(socket().of("subscribe")[1].subscriptions[0]).toMatchObject({ topic: "#", rh: 2 });
    expect(socket().of("subscribe")[1].properties?.userProperties).toEqual({ "telex.sample": "4000" });
    expect(socket().of("unsubscribe")).toHaveLength(0);
  });

  test("shares one subscription among those who want the same filter", async () => {
    const got: string[] = [];
    const end = link.subscribe("a", () => got.push("first"));
    link.subscribe("a", () => got.push("second"));
    link.open(null);
    await vi.waitFor(() => expect(socket()?.of("subscribe")).toHaveLength(2));
    const message = { cmd: "publish", topic: "a", payload: Buffer.from("x"), qos: 0, dup: false, retain: false } as const;
    socket().say({ ...message, properties: { subscriptionIdentifier: 2 } });
    await vi.waitFor(() => expect(got).toEqual(["second", "first"]));
    end();
    expect(socket().of("unsubscribe")).toHaveLength(0);
  });

  test("says which filter was refused, and forgets it when another is granted", async () => {
    link.open(null);
    await state(link, "online");
    const end = link.subscribe("secret", () => undefined);
    await vi.waitFor(() => expect(link.refusals.value).toEqual(["secret"]));
    end();
    expect(link.refusals.value).toEqual([]);
  });

  test("says what the broker said to a message", async () => {
    link.open(null);
    await state(link, "online");
    const message = { payload: new Uint8Array([0xff, 0]), qos: 1, retain: false } as const;
    expect(await link.publish({ ...message, topic: "a" })).toEqual({ problem: null, isNobodySubscribed: true });
    expect((await link.publish({ ...message, topic: "secret" })).problem).toContain("Not authorized");
    expect([...(socket().of("publish")[0].payload as Buffer)]).toEqual([0xff, 0]);
  });

  test("sends properties, also user properties of one name", async () => {
    link.open(null);
    await state(link, "online");
    const user = [
      { name: "__proto__", value: "1" },
      { name: "k", value: "2" },
      { name: "k", value: "3" },
    ];
    await link.publish({
      topic: "a",
      payload: new Uint8Array(),
      qos: 1,
      retain: false,
      properties: { contentType: "text/plain", correlationData: new Uint8Array([1]), expiry: 60, user },
    });
    const { properties } = socket().of("publish")[0];
    expect(properties).toMatchObject({ contentType: "text/plain", messageExpiryInterval: 60 });
    expect([...(properties?.correlationData ?? [])]).toEqual([1]);
    expect(properties?.userProperties?.["k"]).toEqual(["2", "3"]);
  });

  test("comes back after the broker went, and asks again", async () => {
    link.subscribe("a", () => undefined);
    link.open(null);
    await vi.waitFor(() => expect(socket()?.of("subscribe")).toHaveLength(1));
    socket().close();
    await state(link, "offline");
    await vi.waitFor(() => expect(Socket.all).toHaveLength(2), 4000);
    await state(link, "online");
    await vi.waitFor(() => expect(socket().of("subscribe")).toHaveLength(1));
  });

  test("does not try again when it is refused", async () => {
    Socket.reasonCode = 0x87;
    link.open(null);
    await state(link, "refused");
    expect(link.problem.value).toContain("Not authorized");
    expect(Socket.all).toHaveLength(1);
  });

  test("tries again when the broker is busy", async () => {
    Socket.reasonCode = 0x89;
    link.open(null);
    await vi.waitFor(() => expect(link.problem.value).toContain("busy"));
    Socket.reasonCode = 0;
    await vi.waitFor(() => expect(link.state.value).toBe("online"), 5000);
    expect(Socket.all).toHaveLength(2);
  });

  test("measures how long an answer takes, and knows when there is none", async () => {
    expect(await link.ping()).toBeNull();
    link.open(null);
    await state(link, "online");
    expect(await link.ping()).toBeGreaterThanOrEqual(0);
  });

  test("does not publish without a connection", async () => {
    const receipt = await link.publish({ topic: "a", payload: new Uint8Array(), qos: 0, retain: false });
    expect(receipt.problem).toContain("no connection");
  });
});
