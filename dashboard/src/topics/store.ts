/**
 * All topics that the page has heard of, as a tree, and the last that each said.
 *
 * Knows no connection, no clock and no screen. What a message costs does not depend on how many topics there are: one
 * look-up by its name, and some numbers for each level above it. Whoever shows the store reads `version` and
 * `structure` when a frame is due; nothing is told for each message.
 *
 * A node's number is its index in the columns. Node 0 is above all topics. The key of a node is the topic up to it:
 * `a/b` is a child of `a`, `/a` one of the empty level.
 */

import { Children } from "./children";
import { Columns, HEARD, QOS, RETAINED } from "./columns";
import { compareNaturally } from "./natural";
import { numberIn } from "./numbers";
import { Payloads, type Kept } from "./payloads";
import { Publishers, UNKNOWN, type Publisher } from "./publishers";
import { Rings, type Points } from "./series";

export const ROOT = 0;

/** Below so many levels the rest of a topic is shown as one: there are topics of thirty thousand. */
const MOST_LEVELS = 64;

export interface Limits {
  /** Topics and branches. */
  readonly nodes: number;
  /** Characters of all their names. */
  readonly characters: number;
}

/** What the broker tells of a message besides, where it is the last of many. */
export interface Told {
  readonly messages: number;
  /** Milliseconds since 1970, by the broker's clock. */
  readonly at: number;
  readonly client: string | null;
  readonly user: string | null;
}

/** Who published a message, and when by the broker's clock. */
export interface Publication extends Publisher {
  readonly at: number;
}

const LIMITS: Limits = { nodes: 250_000, characters: 32 * 1024 * 1024 };

/** How fast a rate follows what it measures: it is at two thirds after three seconds. */
const SMOOTHING = 0.3;

export class TopicStore {
  readonly columns = new Columns();
  readonly payloads = new Payloads();
  readonly rings: Rings;
  /** Grows with each message. */
  version = 0;
  /** Grows with each new topic, and when topics go. */
  structure = 0;
  /** Messages of topics for which there was no room. */
  turnedAway = 0;
  /** Calls of the comparison of names: what keeping order costs. */
  comparisons = 0;

  private readonly publishers = new Publishers();
  private readonly keys: string[] = [""];
  private readonly nodes = new Map<string, number>();
  /** Of those that have more than one child: many branches of a large tree have but one. */
  private readonly branches = new Map<number, Children>();
  private characters = 0;
  private measurements = 0;

  constructor(
    now: number,
    private readonly limits = LIMITS,
  ) {
    this.rings = new Rings(now);
  }

  /** Nodes, the one above all included. */
  get size(): number {
    return this.keys.length;
  }

  /** Topics that had a message. */
  get topics(): number {
    return this.columns.topics[ROOT];
  }

  /** Messages in all. */
  get messages(): number {
    return this.columns.total[ROOT];
  }

  /** The node of a topic or of the beginning of one; undefined: nothing was heard of it. */
  find(topic: string): number | undefined {
    return this.nodes.get(topic);
  }

  /** The topic up to a node. */
  topic(node: number): string {
    return this.keys[node];
  }

  /** A node's own level. */
  name(node: number): string {
    const parent = this.columns.parent[node];
    return parent === ROOT ? this.keys[node] : this.keys[node].slice(this.keys[parent].length + 1);
  }

  has(node: number, flag: number): boolean {
    return (this.columns.flags[node] & flag) !== 0;
  }

  qos(node: number): number {
    return this.columns.flags[node] & QOS;
  }

  isBranch(node: number): boolean {
    return this.columns.child[node] !== -1;
  }

  /** The children of a node, in order. */
  children(node: number): readonly number[] {
    const child = this.columns.child[node];
    if (child === -1) return [];
    return this.branches.get(node)?.ordered(this.compare) ?? [child];
  }

  payload(node: number): Kept {
    return this.payloads.get(this.columns.slot[node], this.columns.size[node]);
  }

  /** The first bytes of a topic's last payload, to be looked at now: the next message changes them. */
  beginning(node: number): Uint8Array {
    return this.payloads.beginning(this.columns.slot[node], this.columns.size[node]);
  }

  /** The last numbers that a topic said. */
  points(node: number): Points {
    const ring = this.columns.ring[node];
    return ring < 0 ? { x: [], y: [] } : this.rings.points(ring);
  }

  /** Who published a topic's last message, and when; null: it was not told. */
  publication(node: number): Publication | null {
    const at = this.columns.published[node];
    return at === 0 ? null : { ...this.publishers.get(this.columns.publisher[node]), at };
  }

  /** Take in a message. `retained`: it came as one, or the broker keeps it now. Returns its node, or -1: no room. */
  receive(topic: string, payload: Uint8Array, qos: number, retained: boolean, now: number, told: Told | null = null): number {
    const node = this.nodes.get(topic) ?? this.add(topic);
    const messages = told?.messages ?? 1;
    if (node < 0) {
      this.turnedAway += messages;
      return -1;
    }
    const { columns } = this;
    if ((columns.flags[node] & HEARD) === 0) {
      columns.slot[node] = this.payloads.take();
      this.climb(node, columns.topics, 1);
    }
    // A message that is not retained says nothing of one that is.
    const keeps = retained ? (payload.length > 0 ? RETAINED : 0) : columns.flags[node] & RETAINED;
    columns.flags[node] = HEARD | keeps | qos;
    columns.size[node] = payload.length;
    columns.at[node] = now;
    columns.count[node] += messages;
    columns.published[node] = told?.at ?? 0;
    columns.publisher[node] = told === null ? UNKNOWN : this.publishers.numberOf(told.client, told.user);
    this.climb(node, columns.total, messages);
    this.payloads.put(columns.slot[node], payload);
    this.remember(node, payload, now);
    this.version++;
    return node;
  }

  /** The retained messages of a topic, or of a whole branch, are gone. */
  forgetRetained(node: number, below: boolean): void {
    for (const each of below ? this.branch(node) : [node]) this.columns.flags[each] &= ~RETAINED;
    this.version++;
  }

  /** Topics of a branch that have a retained message, as far as the page has seen. */
  retainedBelow(node: number): number {
    let count = 0;
    for (const each of this.branch(node)) if (this.has(each, RETAINED)) count++;
    return count;
  }

  /** Work out the rates: `seconds` after the last time. */
  measure(seconds: number): void {
    const { total, former, rate } = this.columns;
    const weight = Math.max(SMOOTHING, 1 / ++this.measurements); // at first there is nothing to be smooth with
    for (let node = 0; node < this.size; node++) {
      const now = (total[node] - former[node]) / seconds;
      former[node] = total[node];
      const next = rate[node] + weight * (now - rate[node]);
      rate[node] = next < 0.005 ? 0 : next;
    }
    this.version++;
  }

  /** A node and all below it. */
  *branch(node: number): Generator<number> {
    const waiting = [node];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      yield next;
      for (const child of this.children(next)) waiting.push(child);
    }
  }

  private readonly compare = (a: number, b: number): number => {
    this.comparisons++;
    return compareNaturally(this.keys[a], this.keys[b], this.keys[this.columns.parent[a]].length); // they are siblings
  };

  private climb(node: number, column: Float64Array | Uint32Array, by: number): void {
    const { parent } = this.columns;
    for (let each = node; each !== ROOT; each = parent[each]) column[each] += by;
    column[ROOT] += by;
  }

  private remember(node: number, payload: Uint8Array, now: number): void {
    const value = numberIn(payload);
    if (Number.isNaN(value)) return;
    const { ring } = this.columns;
    if (ring[node] === -1) ring[node] = this.rings.take();
    if (ring[node] >= 0) this.rings.add(ring[node], value, now);
  }

  /** Make a topic's node, and those above it; -1: there is no room for all of them. */
  private add(topic: string): number {
    const ends: number[] = [];
    for (let slash = topic.indexOf("/"); slash >= 0 && ends.length < MOST_LEVELS - 1; slash = topic.indexOf("/", slash + 1)) {
      ends.push(slash);
    }
    ends.push(topic.length);
    if (this.size + ends.length > this.limits.nodes) return -1;
    if (this.characters + topic.length > this.limits.characters) return -1;
    let parent = ROOT;
    for (const end of ends) {
      const key = end === topic.length ? topic : topic.slice(0, end);
      parent = this.nodes.get(key) ?? this.addNode(key, parent);
    }
    return parent;
  }

  private addNode(key: string, parent: number): number {
    const node = this.size;
    this.columns.reserve(node + 1);
    this.keys.push(key);
    this.nodes.set(key, node);
    this.adopt(parent, node);
    this.columns.parent[node] = parent;
    this.columns.depth[node] = parent === ROOT ? 0 : this.columns.depth[parent] + 1;
    this.characters += key.length;
    this.structure++;
    return node;
  }

  private adopt(parent: number, node: number): void {
    const first = this.columns.child[parent];
    if (first === -1) {
      this.columns.child[parent] = node;
      return;
    }
    let branch = this.branches.get(parent);
    if (branch === undefined) {
      branch = new Children();
      branch.add(first);
      this.branches.set(parent, branch);
    }
    branch.add(node);
  }
}
