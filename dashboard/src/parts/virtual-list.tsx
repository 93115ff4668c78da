/**
 * A list of which only what can be seen has elements.
 *
 * All lines are of one height, which is a custom property (`--row`), larger where fingers point.
 */

import type { ComponentChildren, HTMLAttributes } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

interface Props {
  readonly count: number;
  readonly row: (index: number) => ComponentChildren;
  /** The line that has to be seen, when it changes; -1: none. */
  readonly reveal: number;
  /** Of the list: its role, label, keys. */
  readonly attributes: HTMLAttributes<HTMLDivElement>;
}

const AROUND = 8; // lines above and below what is seen, so that scrolling shows no gap
const FIRST_HEIGHT = 600;
const ROW_HEIGHT = 30;

export function VirtualList({ count, row, reveal, attributes }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const [rowHeight, setRowHeight] = useState(ROW_HEIGHT);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(FIRST_HEIGHT);
  useLayoutEffect(() => {
    const list = place.current;
    if (list === null) return undefined;
    const observer = new ResizeObserver(() => {
      setHeight(list.clientHeight);
      setRowHeight(rowHeightOf(list));
    });
    observer.observe(list);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    const list = place.current;
    if (list === null || reveal < 0) return;
    const from = reveal * rowHeight;
    if (from < list.scrollTop) list.scrollTop = from;
    else if (from + rowHeight > list.scrollTop + list.clientHeight) list.scrollTop = from + rowHeight - list.clientHeight;
  }, [reveal, rowHeight]);
  const first = Math.max(0, Math.min(Math.floor(top / rowHeight) - AROUND, count - 1));
  const last = Math.min(count, Math.ceil((top + height) / rowHeight) + AROUND);
  const rows: ComponentChildren[] = [];
  for (let index = first; index < last; index++) rows.push(row(index));
  return (
    <div {...attributes} ref={place} class="virtual" onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
      <div class="virtual-all" role="presentation" style={{ height: `${count * rowHeight}px` }}>
        <div class="virtual-seen" role="presentation" style={{ transform: `translateY(${first * rowHeight}px)` }}>
          {rows}
        </div>
      </div>
    </div>
  );
}

/** The height of a line in pixels, as the style sheet says it for this width and these fingers. */
function rowHeightOf(list: HTMLElement): number {
  const written = Number.parseFloat(getComputedStyle(list).getPropertyValue("--row"));
  return written > 0 ? written : ROW_HEIGHT;
}
