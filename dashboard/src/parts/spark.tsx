/** The last values of one number, as a line without axes: whether it goes up or down. */

const WIDTH = 120;
const HEIGHT = 28;
const EDGE = 2; // so that the line is not cut in half at its top

interface Props {
  readonly values: readonly (number | null)[];
  /** The name of a custom property with its colour. */
  readonly colour: string;
  /** For so many values there is room, while there are fewer. */
  readonly places: number;
  /** Whether the bottom is nothing, or the lowest value. */
  readonly fromZero?: boolean;
}

export function Spark({ values, colour, places, fromZero = false }: Props) {
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" style={{ color: `var(${colour})` }}>
      <path
        d={sparkPath(values, places, fromZero)}
        fill="none"
        stroke="currentColor"
        stroke-width="1.5"
        vector-effect="non-scaling-stroke"
        stroke-linejoin="round"
      />
    </svg>
  );
}

/** The newest is at the right edge; a gap is left out. */
export function sparkPath(values: readonly (number | null)[], least: number, fromZero: boolean): string {
  const numbers = values.filter((value) => value !== null);
  const lowest = fromZero ? 0 : Math.min(...numbers);
  const span = Math.max(...numbers) - lowest;
  const places = Math.max(values.length, least);
  const first = places - values.length;
  let path = "";
  let isDown = false;
  for (const [i, value] of values.entries()) {
    if (value === null) {
      isDown = false;
      continue;
    }
    const x = ((first + i) * WIDTH) / (places - 1);
    // What does not change is at the bottom where that is nothing, otherwise in the middle.
    const share = span > 0 ? (value - lowest) / span : fromZero ? 0 : 0.5;
    const y = HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE);
    path += `${isDown ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isDown = true;
  }
  return path;
}
