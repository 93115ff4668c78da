/**
 * The lines of the tree as they stand on the screen: which nodes, in which order.
 *
 * They are made anew when topics came, when a branch was opened or closed, and when the search changed: one pass over
 * the branches that are open. A search looks at each topic once, and then only at those that are new.
 */

import { search } from "./filter";
import { ROOT, type TopicStore } from "./store";

const SHOWN = 1; // it is a match, or above one
const MATCH = 2;

/** Of so many lines, a list that only grows is made anew with every second painting; of twice as many, with every third. */
const LINES_A_PAINTING = 20_000;

/** What comes while the tree is as small as that is open. */
const OPEN_UP_TO = 40;

export class Rows {
  /** Nodes, from the first line to the last. */
  nodes: readonly number[] = [];
  /** Topics that the search found. */
  found = 0;

  private readonly open = new Set<number>();
  private readonly closed = new Set<number>();
  private matcher: ((topic: string) => boolean) | null = null;
  private marks = new Uint8Array(0);
  private checked = 0;
  private structure = -1;
  private seen = 0;
  private paintings = 0; // since the list was made

  constructor(private readonly store: TopicStore) {}

  /** Whether `refresh` has something to do. */
  get isStale(): boolean {
    return this.structure !== this.store.structure;
  }

  isOpen(node: number): boolean {
    // What was searched for is to be seen; a branch that is closed by hand stays closed.
    return this.matcher !== null ? !this.closed.has(node) : this.open.has(node);
  }

  setOpen(node: number, open: boolean): void {
    if (open) {
      this.openChain(node);
    } else {
      this.open.delete(node);
      this.closed.add(node);
    }
    this.structure = -1;
  }

  /** Open all branches above a node, so that it has a line. */
  reveal(node: number): void {
    const { parent } = this.store.columns;
    for (let each = parent[node]; each !== ROOT; each = parent[each]) this.setOpen(each, true);
  }

  find(query: string): void {
    this.matcher = search(query);
    this.marks = new Uint8Array(0);
    this.checked = 1; // the node above all is no topic
    this.found = 0;
    this.closed.clear();
    this.structure = -1;
  }

  get isSearch(): boolean {
    return this.matcher !== null;
  }

  /** Make the list anew, if that is due. */
  refresh(): void {
    if (!this.isStale) return;
    // What the user did shows at once; what came by itself may wait a moment where the list is long.
    const isAsked = this.structure === -1;
    if (!isAsked && ++this.paintings <= this.nodes.length / LINES_A_PAINTING) return;
    this.paintings = 0;
    this.structure = this.store.structure;
    this.openFirst();
    this.mark();
    const nodes: number[] = [];
    const { store, marks } = this;
    // Not by recursion: a branch may be as deep as a topic is long.
    const waiting: number[] = [];
    pushReversed(waiting, store.children(ROOT));
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      if (this.matcher !== null && (marks[node] & SHOWN) === 0) continue;
      nodes.push(node);
      if (store.isBranch(node) && this.isOpen(node)) pushReversed(waiting, store.children(node));
    }
    this.nodes = nodes;
  }

  /** Open a branch, and what is the only one in it, and so on: nobody wants to click through `a/b/c/d`. */
  private openChain(node: number): void {
    let next = node;
    for (;;) {
      this.open.add(next);
      this.closed.delete(next);
      const children = this.store.children(next);
      if (children.length !== 1 || !this.store.isBranch(children[0])) return;
      next = children[0];
    }
  }

  /** A small tree is open; of a large one, what stands alone at the top. */
  private openFirst(): void {
    const { store } = this;
    if (store.size <= OPEN_UP_TO) {
      for (; this.seen < store.size; this.seen++) this.open.add(this.seen);
    } else if (this.seen === 0) {
      const top = store.children(ROOT);
      if (top.length === 1) this.openChain(top[0]);
      this.seen = store.size;
    }
  }

  private mark(): void {
    if (this.matcher === null) return;
    const { store } = this;
    if (this.marks.length < store.size) {
      const marks = new Uint8Array(store.columns.capacity);
      marks.set(this.marks);
      this.marks = marks;
    }
    const { parent } = store.columns;
    for (; this.checked < store.size; this.checked++) {
      if (!this.matcher(store.topic(this.checked))) continue;
      this.marks[this.checked] |= MATCH;
      this.found++;
      for (let each = this.checked; each !== ROOT && (this.marks[each] & SHOWN) === 0; each = parent[each]) {
        this.marks[each] |= SHOWN;
      }
    }
  }
}

function pushReversed(stack: number[], nodes: readonly number[]): void {
  for (let i = nodes.length - 1; i >= 0; i--) stack.push(nodes[i]);
}
