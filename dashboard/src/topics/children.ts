/**
 * The children of one branch, in order.
 *
 * Topics come in any order and by the thousand. New ones wait aside; when somebody looks, they are sorted by themselves
 * and merged, so that a branch of n children that grows by k costs n + k log k, not n log n.
 */

export type Compare = (a: number, b: number) => number;

export class Children {
  private sorted: number[] = [];
  private fresh: number[] = [];

  get count(): number {
    return this.sorted.length + this.fresh.length;
  }

  add(child: number): void {
    this.fresh.push(child);
  }

  /** All of them by `compare`, which has to be the same each time. */
  ordered(compare: Compare): readonly number[] {
    if (this.fresh.length > 0) {
      this.fresh.sort(compare);
      this.sorted = this.sorted.length === 0 ? this.fresh : merged(this.sorted, this.fresh, compare);
      this.fresh = [];
    }
    return this.sorted;
  }
}

function merged(a: readonly number[], b: readonly number[], compare: Compare): number[] {
  const result = new Array<number>(a.length + b.length);
  let i = 0;
  let j = 0;
  for (let k = 0; k < result.length; k++) {
    result[k] = j === b.length || (i < a.length && compare(a[i], b[j]) <= 0) ? a[i++] : b[j++];
  }
  return result;
}
