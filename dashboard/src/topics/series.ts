/**
 * The last numbers of many topics, and of one.
 *
 * A topic that says numbers has a short ring from its first message on, so that its chart has a beginning when somebody
 * opens it. The rings lie in pages, which are never moved.
 */

/** Numbers that are kept for each topic. */
export const RING_LENGTH = 24;

const RINGS_A_PAGE = 1024;

/** 65,536 rings take 18 MB; topics beyond that are charted from when they are opened. */
const MOST_RINGS = 65_536;

/** Points of a chart: x in seconds since 1970, as uPlot wants it, and y. */
export interface Points {
  readonly x: number[];
  readonly y: number[];
}

interface Page {
  values: Float64Array;
  /** Milliseconds after `Rings.start`: 49 days fit. */
  times: Uint32Array;
  heads: Uint32Array;
}

export class Rings {
  private readonly pages: Page[] = [];
  private count = 0;

  /** `start`: milliseconds since 1970; no number is older. */
  constructor(
    private readonly start: number,
    private readonly most = MOST_RINGS,
  ) {}

  get bytes(): number {
    return this.pages.length * RINGS_A_PAGE * (RING_LENGTH * 12 + 4);
  }

  /** A new ring, or -1 when there are enough. */
  take(): number {
    if (this.count >= this.most) return -1;
    if (this.count % RINGS_A_PAGE === 0) {
      this.pages.push({
        values: new Float64Array(RINGS_A_PAGE * RING_LENGTH),
        times: new Uint32Array(RINGS_A_PAGE * RING_LENGTH),
        heads: new Uint32Array(RINGS_A_PAGE),
      });
    }
    return this.count++;
  }

  add(ring: number, value: number, at: number): void {
    const page = this.pages[(ring / RINGS_A_PAGE) | 0];
    const own = ring % RINGS_A_PAGE;
    const place = own * RING_LENGTH + (page.heads[own]++ % RING_LENGTH);
    page.values[place] = value;
    page.times[place] = Math.max(0, at - this.start);
  }

  /** What a ring holds, oldest first. */
  points(ring: number): Points {
    const page = this.pages[(ring / RINGS_A_PAGE) | 0];
    const own = ring % RINGS_A_PAGE;
    const head = page.heads[own];
    const x: number[] = [];
    const y: number[] = [];
    for (let i = Math.max(0, head - RING_LENGTH); i < head; i++) {
      const place = own * RING_LENGTH + (i % RING_LENGTH);
      x.push((this.start + page.times[place]) / 1000);
      y.push(page.values[place]);
    }
    return { x, y };
  }
}

/** The points of one chart, up to a number; then the oldest go. */
export class Series {
  private readonly x: Float64Array;
  private readonly y: Float64Array;
  private head = 0;

  constructor(private readonly length: number) {
    this.x = new Float64Array(length);
    this.y = new Float64Array(length);
  }

  get count(): number {
    return Math.min(this.head, this.length);
  }

  /** `at`: milliseconds since 1970. */
  add(value: number, at: number): void {
    const place = this.head++ % this.length;
    this.x[place] = at / 1000;
    this.y[place] = value;
  }

  clear(): void {
    this.head = 0;
  }

  points(): Points {
    const x: number[] = [];
    const y: number[] = [];
    for (let i = this.head - this.count; i < this.head; i++) {
      x.push(this.x[i % this.length]);
      y.push(this.y[i % this.length]);
    }
    return { x, y };
  }
}
