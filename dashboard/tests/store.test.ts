import { describe, expect, test } from "vitest";
import { RETAINED } from "../src/topics/columns";
import { History } from "../src/topics/history";
import { compareNaturally } from "../src/topics/natural";
import { LONGEST, Payloads, SLOT } from "../src/topics/payloads";
import { Rows } from "../src/topics/rows";
import { RING_LENGTH, Rings, Series } from "../src/topics/series";
import { ROOT, TopicStore } from "../src/topics/store";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const topics = (store: TopicStore, rows: Rows): string[] => {
  rows.refresh();
  return rows.nodes.map((node) => store.topic(node));
};

describe("the tree", () => {
  test("has a line for each level, in natural order", () => {
    const store = new TopicStore(0);
    const rows = new Rows(store);
    for (const topic of ["b", "a/room10", "a/room2", "a"]) store.receive(topic, bytes("1"), 0, false, 0);
    expect(topics(store, rows)).toEqual(["a", "a/room2", "a/room10", "b"]);
    expect(store.topics).toBe(4);
  });

  test("tells empty levels apart", () => {
    const store = new TopicStore(0);
    for (const topic of ["/a", "a", "a/", "a//b", "/"]) store.receive(topic, bytes("1"), 0, false, 0);
    expect(new Set(["/a", "a", "a/", "a//b", "/"].map((topic) => store.find(topic))).size).toBe(5);
    expect(store.name(store.find("/a") ?? -1)).toBe("a");
    expect(store.name(store.find("a/") ?? -1)).toBe("");
    expect(store.name(store.find("a//b") ?? -1)).toBe("b");
    expect(store.topics).toBe(5);
  });

  test("counts what is below", () => {
    const store = new TopicStore(0);
    store.receive("a/b/c", bytes("1"), 0, false, 0);
    store.receive("a/b/c", bytes("2"), 0, false, 0);
    store.receive("a/d", bytes("3"), 0, false, 0);
    const a = store.find("a") ?? -1;
    expect(store.columns.total[a]).toBe(3);
    expect(store.columns.topics[a]).toBe(2);
    expect(store.columns.count[a]).toBe(0);
    expect(store.columns.total[ROOT]).toBe(3);
  });

  test("is as deep as it need be, and not as deep as a topic may be", () => {
    const store = new TopicStore(0);
    const deep = Array(30_000).fill("x").join("/");
    const node = store.receive(deep, bytes("1"), 0, false, 0);
    expect(store.size).toBe(65);
    expect(store.topic(node)).toBe(deep);
  });

  test("opens and closes branches", () => {
    const store = new TopicStore(0);
    const rows = new Rows(store);
    for (let i = 0; i < 50; i++) store.receive(`a/b/${i}`, bytes("1"), 0, false, 0);
    expect(topics(store, rows).length).toBe(52); // what stands alone is open
    rows.setOpen(store.find("a") ?? -1, false);
    expect(topics(store, rows)).toEqual(["a"]);
    rows.reveal(store.find("a/b/7") ?? -1);
    expect(topics(store, rows).length).toBe(52);
    rows.setOpen(store.find("a/b") ?? -1, false);
    expect(topics(store, rows)).toEqual(["a", "a/b"]);
  });

  test("what was open while the tree was small stays so, and what comes later is closed", () => {
    const store = new TopicStore(0);
    const rows = new Rows(store);
    store.receive("a/b", bytes("1"), 0, false, 0);
    expect(topics(store, rows)).toEqual(["a", "a/b"]);
    for (let i = 0; i < 50; i++) store.receive(`c/${i}`, bytes("1"), 0, false, 0);
    expect(topics(store, rows)).toEqual(["a", "a/b", "c"]);
  });

  test("a search shows matches and what is above them, also those that come later", () => {
    const store = new TopicStore(0);
    const rows = new Rows(store);
    store.receive("home/kitchen/temp", bytes("1"), 0, false, 0);
    store.receive("home/office/temp", bytes("1"), 0, false, 0);
    rows.find("KITCHEN");
    expect(topics(store, rows)).toEqual(["home", "home/kitchen", "home/kitchen/temp"]);
    store.receive("kitchen", bytes("1"), 0, false, 0);
    expect(topics(store, rows)).toEqual(["home", "home/kitchen", "home/kitchen/temp", "kitchen"]);
    rows.find("home/+/temp");
    expect(topics(store, rows)).toContain("home/office/temp");
    expect(rows.found).toBe(2);
  });
});

describe("retained messages", () => {
  test("are known by their flag, and stay when another message comes", () => {
    const store = new TopicStore(0);
    const node = store.receive("a", bytes("1"), 1, true, 0);
    store.receive("a", bytes("2"), 0, false, 1);
    expect(store.has(node, RETAINED)).toBe(true);
    store.receive("a", bytes(""), 0, true, 2);
    expect(store.has(node, RETAINED)).toBe(false);
  });

  test("of a branch are counted and forgotten together", () => {
    const store = new TopicStore(0);
    for (const topic of ["a", "a/b", "a/b/c", "d"]) store.receive(topic, bytes("1"), 0, true, 0);
    const a = store.find("a") ?? -1;
    expect(store.retainedBelow(a)).toBe(3);
    store.forgetRetained(a, true);
    expect(store.retainedBelow(a)).toBe(0);
    expect(store.has(store.find("d") ?? -1, RETAINED)).toBe(true);
  });
});

describe("payloads", () => {
  test("are whole up to a size, and say so beyond it", () => {
    const payloads = new Payloads();
    const slot = payloads.take();
    payloads.put(slot, new Uint8Array(LONGEST + 1).fill(7));
    const kept = payloads.get(slot, LONGEST + 1);
    expect(kept.bytes.length).toBe(LONGEST);
    expect(kept.whole).toBe(false);
    payloads.put(slot, bytes("short"));
    expect(payloads.get(slot, 5)).toEqual({ bytes: bytes("short"), size: 5, whole: true });
  });

  test("lie in slots of their own, however many there are", () => {
    const payloads = new Payloads();
    for (let i = 0; i < 5000; i++) payloads.put(payloads.take(), bytes(`value ${i}`));
    expect(new TextDecoder().decode(payloads.get(4321, 10).bytes)).toBe("value 4321");
    expect(payloads.get(17, 8).bytes).toEqual(bytes("value 17"));
  });

  test("that are oldest are cut when all are too many", () => {
    const payloads = new Payloads(3000);
    for (let i = 0; i < 4; i++) payloads.put(payloads.take(), new Uint8Array(1000).fill(i));
    expect(payloads.get(0, 1000).whole).toBe(false);
    expect(payloads.get(0, 1000).bytes.length).toBe(SLOT);
    expect(payloads.get(3, 1000).whole).toBe(true);
  });

  test("are copies: what mqtt.js does with its memory later changes nothing", () => {
    const payloads = new Payloads();
    const slot = payloads.take();
    const chunk = new Uint8Array(200).fill(1);
    payloads.put(slot, chunk);
    const shown = payloads.get(slot, 200);
    chunk.fill(2);
    payloads.put(slot, chunk);
    expect(shown.bytes[100]).toBe(1);
    expect(payloads.get(slot, 200).bytes[100]).toBe(2);
  });
});

describe("histories", () => {
  test("keep the last numbers of a topic", () => {
    const rings = new Rings(1000);
    const ring = rings.take();
    for (let i = 0; i < RING_LENGTH + 5; i++) rings.add(ring, i, 1000 + i * 1000);
    const points = rings.points(ring);
    expect(points.y).toEqual(Array.from({ length: RING_LENGTH }, (_, i) => i + 5));
    expect(points.x[0]).toBe(6);
  });

  test("have no more rings than allowed", () => {
    const rings = new Rings(0, 2);
    expect([rings.take(), rings.take(), rings.take()]).toEqual([0, 1, -1]);
  });

  test("begin before a topic is opened", () => {
    const store = new TopicStore(0);
    const node = store.receive("t", bytes("20.5"), 0, false, 1000);
    store.receive("t", bytes("no number"), 0, false, 2000);
    store.receive("t", bytes("21"), 0, false, 3000);
    expect(store.points(node)).toEqual({ x: [1, 3], y: [20.5, 21] });
  });

  test("of a chart go round", () => {
    const series = new Series(3);
    for (let i = 0; i < 5; i++) series.add(i, i * 1000);
    expect(series.points()).toEqual({ x: [2, 3, 4], y: [2, 3, 4] });
  });

  test("of messages hold to a number and to bytes, and keep the last whatever its size", () => {
    const history = new History(3, 100);
    for (let i = 0; i < 5; i++) history.add(bytes(`${i}`), 0, false, i);
    expect(history.messages.map((heard) => heard.index)).toEqual([2, 3, 4]);
    history.add(new Uint8Array(500), 0, false, 5);
    expect(history.messages.length).toBe(1);
    expect(history.last?.payload.length).toBe(500);
    expect(history.get(5)?.index).toBe(5);
    expect(history.get(4)).toBeUndefined();
  });
});

test("names are in the order in which people count", () => {
  const names = ["a10", "a2", "a02", "b", "a", "a2b", "a99999999999999999999"];
  expect(names.sort(compareNaturally)).toEqual(["a", "a2", "a02", "a2b", "a10", "a99999999999999999999", "b"]);
});
