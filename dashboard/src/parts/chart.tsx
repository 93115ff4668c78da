/** A line chart that moves. uPlot draws it; the colours are those of the page. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { isDark } from "../theme";

export interface Line {
  readonly label: string;
  /** The name of a custom property with its colour. */
  readonly colour: string;
}

/** Seconds since 1970, then the values of each line; null is a gap. */
export type Data = readonly (readonly (number | null)[])[];

interface Props {
  /** What the chart says, for who cannot see it. */
  readonly label: string;
  readonly lines: readonly Line[];
  readonly data: Data;
  readonly format: (value: number) => string;
  readonly height?: number;
  /** Whether the axis begins at nothing, as it does for rates. */
  readonly fromZero?: boolean;
  /** What lies between two lines of the grid, to choose from. */
  readonly steps?: readonly number[];
}

/** For what is counted: no halves. */
export const WHOLE_STEPS: readonly number[] = Array.from({ length: 13 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

/** For bytes: 1, 2, 4 ... of each unit. */
export const BINARY_STEPS: readonly number[] = Array.from({ length: 50 }, (_, i) => 2 ** i);

const Y_WIDTH = 58;
const X_HEIGHT = 26;
const FEW_POINTS = 3; // that are shown as such: a line needs more
const LEAST_SECONDS = 60; // that are shown from left to right

export function Chart({ label, lines, data, format, height = 150, fromZero = false, steps }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const readout = useRef<HTMLParagraphElement>(null);
  const dark = isDark.value;
  const names = lines.map((line) => line.label).join();
  useEffect(() => {
    const host = place.current;
    if (host === null) return undefined;
    const tell = (text: string): void => {
      if (readout.current !== null) readout.current.textContent = text;
    };
    const made = new uPlot(options(host, lines, format, height, fromZero, steps, tell), data as uPlot.AlignedData, host);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: host.clientWidth, height }));
    observer.observe(host);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [dark, names, height, fromZero, steps]);
  useEffect(() => plot.current?.setData(data as uPlot.AlignedData), [data]);
  return (
    <div class="chart">
      <div ref={place} role="img" aria-label={label} />
      <p ref={readout} class="chart-readout" aria-hidden="true" />
    </div>
  );
}

function options(
  host: HTMLElement,
  lines: readonly Line[],
  format: Props["format"],
  height: number,
  fromZero: boolean,
  steps: readonly number[] | undefined,
  tell: (text: string) => void,
): uPlot.Options {
  const style = getComputedStyle(host);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: colour("--soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: `11px ${style.fontFamily}`,
  };
  return {
    width: Math.max(host.clientWidth, 1),
    height,
    padding: [10, 26, 0, 0], // so that the last time is not cut
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    hooks: { setCursor: [(plot) => tell(pointed(plot, lines, format))] },
    scales: {
      x: { range: (plot) => span(plot.data[0]) },
      y: { range: (_plot, low, high) => range(low, high, fromZero) },
    },
    axes: [
      { ...axis, size: X_HEIGHT, gap: 6, space: 80, values: "{HH}:{mm}:{ss}", grid: { show: false } },
      {
        ...axis,
        size: Y_WIDTH,
        gap: 8,
        space: 30,
        values: (_plot, values) => values.map(format),
        ...(steps === undefined ? {} : { incrs: [...steps] }),
      },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        fill: lines.length === 1 ? `color-mix(in srgb, ${colour(line.colour)} 12%, transparent)` : undefined,
        width: 1.75,
        points: { show: (plot: uPlot) => plot.data[0].length <= FEW_POINTS, size: 6 },
      })),
    ].map((series) => Object.fromEntries(Object.entries(series).filter(([, value]) => value !== undefined))),
  };
}

/** What is under the pointer, in words. */
function pointed(plot: uPlot, lines: readonly Line[], format: Props["format"]): string {
  const { idx } = plot.cursor;
  if (idx === null || idx === undefined) return "";
  const values = lines.map((line, i) => {
    const value = plot.data[i + 1][idx];
    return `${lines.length > 1 ? `${line.label} ` : ""}${value === null || value === undefined ? "–" : format(value)}`;
  });
  return `${new Date(plot.data[0][idx] * 1000).toTimeString().slice(0, 8)}  ${values.join(", ")}`;
}

/** The newest is at the right edge, also while there is little. uPlot itself makes a day of a single point. */
function span(times: ArrayLike<number>): [number, number] {
  const end = times.length === 0 ? Date.now() / 1000 : times[times.length - 1];
  return [Math.min(times.length === 0 ? end : times[0], end - LEAST_SECONDS), end];
}

/** Some room above and below; a flat line is in the middle. */
function range(low: number | null, high: number | null, fromZero: boolean): [number, number] {
  if (low === null || high === null) return [0, 1];
  if (fromZero) return [0, high <= 0 ? 1 : high * 1.15];
  const room = high === low ? Math.max(Math.abs(high) * 0.05, 0.5) : (high - low) * 0.1;
  return [low - room, high + room];
}
