/** Five thousand messages a second over a hundred thousand topics, counted in operations and bytes: no clock decides. */
import { describe, expect, test } from "vitest";
import { Painter } from "../src/paint";
import { Rows } from "../src/topics/rows";
import { TopicStore } from "../src/topics/store";

const TOPICS = 100_000;
const RATE = 5_000;
const SECONDS = 60;
const FRAMES_A_SECOND = 60;
const encoder = new TextEncoder();

class HandFrames {
  asked = 0;
  private waiting: ((time: number) => void)[] = [];

  request(callback: (time: number) => void): void {
    this.asked++;
    this.waiting.push(callback);
  }

  run(time: number): void {
    const due = this.waiting;
    this.waiting = [];
    for (const callback of due) callback(time);
  }
}

function topicOf(i: number): string {
  return `plant/hall${i % 10}/line${(i / 10) % 100 | 0}/machine${(i / 1000) | 0}/temperature`;
}

describe("a flood of a minute", () => {
  const frames = new HandFrames();
  const store = new TopicStore(0);
  const rows = new Rows(store);
  let paints = 0;
  let rebuilds = 0;
  let rowsBuilt = 0;
  const painter = new Painter(() => {
    paints++;
    if (!rows.isStale) return;
    rebuilds++;
    rows.refresh();
    rowsBuilt += rows.nodes.length;
  }, frames);

  let sent = 0;
  for (let frame = 0; frame < SECONDS * FRAMES_A_SECOND; frame++) {
    const time = (frame * 1000) / FRAMES_A_SECOND;
    for (; sent < ((frame + 1) * RATE) / FRAMES_A_SECOND; sent++) {
      store.receive(topicOf((sent * 7919) % TOPICS), encoder.encode(`${20 + (sent % 100) / 10}`), 0, false, time);
      painter.touch();
    }
    frames.run(time);
    if (frame % FRAMES_A_SECOND === 0) store.measure(1);
  }

  test("loses nothing", () => {
    expect(sent).toBe(RATE * SECONDS);
    expect(store.messages).toBe(sent);
    expect(store.topics).toBe(TOPICS);
    expect(store.turnedAway).toBe(0);
  });

  test("is painted at most ten times a second, and asks for one frame at a time", () => {
    expect(paints).toBeGreaterThan(0);
    expect(paints).toBeLessThanOrEqual(10 * SECONDS);
    expect(frames.asked).toBeLessThanOrEqual(FRAMES_A_SECOND * SECONDS + 1);
  });

  test("makes lines only of what is open, and only while topics come", () => {
    expect(rebuilds).toBeLessThanOrEqual(10 * Math.ceil(TOPICS / RATE) + 1);
    expect(rowsBuilt).toBeLessThanOrEqual(40 * rebuilds); // the tree is closed, but for a small beginning
  });

  test("stays below sixty megabytes of columns, payloads and rings", () => {
    const bytes = store.columns.bytes + store.payloads.bytes + store.rings.bytes;
    expect(bytes).toBeLessThan(60 * 1024 * 1024);
  });

  test("has the rate of the whole within a tenth", () => {
    expect(store.columns.rate[0]).toBeGreaterThan(0.9 * RATE);
    expect(store.columns.rate[0]).toBeLessThan(1.1 * RATE);
  });

  test("is searched once through, and then only what is new", () => {
    rows.find("machine42/");
    rows.refresh();
    expect(rows.found).toBe(1000);
    expect(rows.nodes.length).toBeLessThan(20_000); // or else what is new would not show with the next painting
    const first = store.receive("plant/hall1/line1/machine42/speed", encoder.encode("7"), 0, false, 61_000);
    rows.refresh();
    expect(rows.found).toBe(1001);
    expect(rows.nodes).toContain(first);
  });
});

test("a long list that grows is not made anew with each painting, but at once when somebody asks", () => {
  const store = new TopicStore(0);
  const rows = new Rows(store);
  for (let i = 0; i < TOPICS; i++) store.receive(`t${i}`, new Uint8Array(), 0, false, 0);
  rows.refresh();
  const first = rows.nodes;
  let paintings = 0;
  for (; rows.nodes === first; paintings++) {
    store.receive(`new${paintings}`, new Uint8Array(), 0, false, 0);
    rows.refresh();
  }
  expect(paintings).toBe(6);
  store.receive("another", new Uint8Array(), 0, false, 0);
  rows.find("another");
  rows.refresh();
  expect(rows.nodes.map((node) => store.topic(node))).toEqual(["another"]);
});

test("keeping a hundred thousand siblings in order costs no more than merging them a few hundred times", () => {
  const store = new TopicStore(0);
  const rows = new Rows(store);
  store.receive("a", new Uint8Array(), 0, false, 0);
  rows.setOpen(1, true);
  let looks = 0;
  for (let i = 0; i < TOPICS; i++) {
    store.receive(`a/${(i * 7919) % TOPICS}`, new Uint8Array(), 0, false, i);
    if (i % 5000 === 4999) {
      rows.refresh();
      looks++;
    }
  }
  while (rows.isStale) rows.refresh();
  expect(rows.nodes.length).toBe(TOPICS + 1);
  expect(store.topic(rows.nodes[1])).toBe("a/0");
  expect(store.topic(rows.nodes.at(-1) ?? -1)).toBe("a/99999");
  // n log n of all that came, and a merge for each look.
  expect(store.comparisons).toBeLessThan(TOPICS * 17 + looks * TOPICS);
});

test("messages of a topic leave no object each", () => {
  const store = new TopicStore(0);
  const node = store.receive("a/b", encoder.encode("x".repeat(500)), 0, false, 0);
  const kept = store.payloads.bytes;
  for (let i = 1; i < 10_000; i++) store.receive("a/b", encoder.encode("y".repeat(500)), 0, false, i);
  expect(store.payloads.bytes).toBe(kept);
  expect(store.payload(node).whole).toBe(true);
  expect(store.size).toBe(3);
});

test("a store that is full counts what it turns away", () => {
  const store = new TopicStore(0, { nodes: 10, characters: 1000 });
  for (let i = 0; i < 20; i++) store.receive(`t${i}`, new Uint8Array(), 0, false, 0);
  expect(store.topics).toBe(9);
  expect(store.turnedAway).toBe(11);
  expect(store.receive("x".repeat(2000), new Uint8Array(), 0, false, 0)).toBe(-1);
});
