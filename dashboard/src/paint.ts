/**
 * When the screen is drawn anew: in an animation frame, at most ten times a second, and only when something changed.
 *
 * Ten, since nobody reads numbers that change faster, and the rest of the time is left for clicks.
 */

const LEAST_MS = 100;

export interface Frames {
  request(callback: (time: number) => void): void;
}

const BROWSER: Frames = { request: (callback) => void requestAnimationFrame(callback) };

export class Painter {
  private isAsked = false;
  private lastAt = -Infinity;

  constructor(
    private readonly paint: () => void,
    private readonly frames: Frames = BROWSER,
    private readonly leastMs = LEAST_MS,
  ) {}

  /** Something has changed. As cheap as can be: it is called for each message. */
  touch(): void {
    if (this.isAsked) return;
    this.isAsked = true;
    this.frames.request(this.frame);
  }

  private readonly frame = (time: number): void => {
    if (time - this.lastAt < this.leastMs) {
      this.frames.request(this.frame);
      return;
    }
    this.isAsked = false;
    this.lastAt = time;
    this.paint();
  };
}
