/**
 * How often the broker tells of each topic: seldom enough that what comes is not too much.
 *
 * Nobody reads a value that changes more than four times a second. Where very many topics are loud, the period gets
 * longer. The broker tells of ten thousand topics in a period at most, and of as many in a second; then they take turns.
 * So the longest period is one in which a browser can follow. Knows no connection and no clock.
 */

/** Milliseconds. */
export const PERIODS = [250, 1000, 2000] as const;

/** Messages a second that the page takes. */
export const MOST = 8000;

export class Pace {
  private step = 0;
  private count = 0;
  private seconds = 0;

  /** Milliseconds between two messages of one topic. */
  get period(): number {
    return PERIODS[this.step];
  }

  /** So many messages came in so many seconds. Returns whether the period is another one now. */
  measure(count: number, seconds: number): boolean {
    this.count += count;
    this.seconds += seconds;
    // What is told of once in a period may come all at its end.
    if (this.seconds * 1000 < this.period) return false;
    const told = (this.count / this.seconds) * this.period;
    this.count = 0;
    this.seconds = 0;
    const former = this.step;
    const rate = (step: number): number => told / PERIODS[step]; // at most
    while (this.step < PERIODS.length - 1 && rate(this.step) > MOST) this.step++;
    while (this.step > 0 && rate(this.step - 1) < MOST / 2) this.step--;
    return this.step !== former;
  }
}
