/** The chart of a topic whose values are numbers, or of a number inside its JSON. */

import { useMemo } from "preact/hooks";
import { formatShort } from "../../format";
import { usePage } from "../../page";
import { Chart, type Line } from "../../parts/chart";
import { Charted } from "../../topics/charted";
import { describePath, type Step } from "../../topics/numbers";

const LINES: readonly Line[] = [{ label: "value", colour: "--in" }];

interface Props {
  readonly node: number;
  readonly path: readonly Step[];
  /** Chart the payload itself again. */
  readonly onRoot: () => void;
}

export function ValueChart({ node, path, onRoot }: Props) {
  const { watch } = usePage();
  void watch.tick.value;
  const { history, store } = watch;
  const charted = useMemo(() => new Charted(history, path, store.points(node)), [history, path, store, node]);
  const points = charted.points();
  const data = useMemo(() => [points.x, points.y], [points]);
  if (points.x.length === 0) {
    return path.length === 0 ? null : <p class="soft">No number was at {describePath(path)} yet.</p>;
  }
  const last = points.y[points.y.length - 1];
  return (
    <div class="value-chart">
      <p class="line">
        <b class="value-now">{formatValue(last)}</b>
        {path.length > 0 && (
          <>
            <code>{describePath(path)}</code>
            <button type="button" class="link" onClick={onRoot}>
              close the chart
            </button>
          </>
        )}
        <span class="soft push">
          {formatValue(Math.min(...points.y))} to {formatValue(Math.max(...points.y))}
        </span>
      </p>
      <Chart
        label={`Chart of ${points.x.length} values, the last is ${formatValue(last)}`}
        lines={LINES}
        data={data}
        format={formatTick}
        height={160}
      />
    </div>
  );
}

function formatTick(value: number): string {
  return Math.abs(value) >= 100_000 ? formatShort(value) : String(Number(value.toPrecision(6)));
}

function formatValue(value: number): string {
  return String(Number(value.toPrecision(10)));
}
