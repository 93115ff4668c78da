/** One number, what it is, and how it was. */

import type { ComponentChildren } from "preact";
import { Spark } from "../../parts/spark";

const SHOWN = 120; // looks
const PLACES = 30;

interface Props {
  readonly title: string;
  readonly value: string;
  readonly isBad?: boolean;
  /** The last values, if they are known. */
  readonly trend?: readonly (number | null)[];
  /** The name of a custom property with its colour. */
  readonly colour?: string;
  readonly children?: ComponentChildren;
}

export function Tile({ title, value, isBad = false, trend, colour = "--in", children }: Props) {
  return (
    <div class={isBad ? "tile is-bad" : "tile"}>
      <h2>{title}</h2>
      <p class="tile-value">{value}</p>
      {trend !== undefined && <Spark values={trend.slice(-SHOWN)} colour={isBad ? "--bad" : colour} places={PLACES} fromZero />}
      <p class="soft tile-more">{children}</p>
    </div>
  );
}
