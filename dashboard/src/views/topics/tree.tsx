/** The tree: one line for each level, of which only those in sight are elements. */

import { useState } from "preact/hooks";
import { formatRate, formatShort } from "../../format";
import { usePage } from "../../page";
import { Icon } from "../../parts/icon";
import { Spark } from "../../parts/spark";
import { VirtualList } from "../../parts/virtual-list";
import { oneLine } from "../../payload/kinds";
import { hrefTo } from "../../router";
import { HEARD, RETAINED } from "../../topics/columns";
import { RING_LENGTH } from "../../topics/series";
import type { Watch } from "../../topics/watch";

const FRESH_MS = 500; // how long a line shows that it has changed
const PAGE = 15;

export function Tree() {
  const { watch } = usePage();
  void watch.tick.value;
  const { rows, store } = watch;
  rows.refresh();
  const [active, setActive] = useState(-1);
  const [reveal, setReveal] = useState(-1);
  const nodes = rows.nodes;
  const at = active < 0 ? -1 : nodes.indexOf(active);

  const go = (index: number): void => {
    const next = Math.max(0, Math.min(index, nodes.length - 1));
    if (nodes.length === 0) return;
    setActive(nodes[next]);
    setReveal(next);
  };
  const setOpen = (node: number, open: boolean): void => {
    rows.setOpen(node, open);
    watch.tick.value++;
  };
  const choose = (node: number): void => {
    setActive(node);
    location.hash = hrefTo("topics", { topic: store.topic(node) });
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const isBranch = active >= 0 && store.isBranch(active);
    switch (event.key) {
      case "ArrowDown":
        go(at + 1);
        break;
      case "ArrowUp":
        go(at - 1);
        break;
      case "PageDown":
        go(at + PAGE);
        break;
      case "PageUp":
        go(at - PAGE);
        break;
      case "Home":
        go(0);
        break;
      case "End":
        go(nodes.length - 1);
        break;
      case "ArrowRight":
        if (!isBranch) return;
        if (rows.isOpen(active)) go(at + 1);
        else setOpen(active, true);
        break;
      case "ArrowLeft":
        if (isBranch && rows.isOpen(active)) setOpen(active, false);
        else if (active >= 0) go(nodes.indexOf(store.columns.parent[active]));
        break;
      case "Enter":
      case " ":
        if (active >= 0) choose(active);
        break;
      default:
        return;
    }
    event.preventDefault();
  };

  if (nodes.length === 0) return <Nothing />;
  return (
    <VirtualList
      count={nodes.length}
      reveal={reveal}
      attributes={{
        role: "tree",
        "aria-label": "Topics",
        tabIndex: 0,
        "aria-activedescendant": at >= 0 ? `node-${active}` : undefined,
        onKeyDown,
        onFocus: () => {
          if (at < 0) setActive(nodes[0]);
        },
      }}
      row={(index) => (
        <Row
          key={nodes[index]}
          watch={watch}
          node={nodes[index]}
          isActive={nodes[index] === active}
          onOpen={setOpen}
          onChoose={choose}
        />
      )}
    />
  );
}

function Nothing() {
  const { watch, link } = usePage();
  const text = watch.rows.isSearch
    ? "No topic is like that."
    : link.state.value === "online"
      ? `Nothing came yet of ${watch.filter.value}.`
      : "There is no connection to the broker.";
  return (
    <p class="notice" role="status">
      {text}
    </p>
  );
}

/** How a number was lately; nothing, where there was none but one. */
function Trend({ values }: { readonly values: readonly number[] }) {
  return values.length > 1 && <Spark values={values} colour="--in" places={RING_LENGTH} />;
}

interface RowProps {
  readonly watch: Watch;
  readonly node: number;
  readonly isActive: boolean;
  readonly onOpen: (node: number, open: boolean) => void;
  readonly onChoose: (node: number) => void;
}

function Row({ watch, node, isActive, onOpen, onChoose }: RowProps) {
  const { store, rows } = watch;
  const { columns } = store;
  const isBranch = store.isBranch(node);
  const isOpen = isBranch && rows.isOpen(node);
  const isHeard = store.has(node, HEARD);
  const isRetained = store.has(node, RETAINED);
  const topic = store.topic(node);
  const value = isHeard ? oneLine(store.beginning(node), columns.size[node]) : "";
  const isFresh = isHeard && Date.now() - columns.at[node] < FRESH_MS;
  const name = store.name(node);
  const classes = `row${isActive ? " is-active" : ""}${isFresh ? " is-fresh" : ""}`;
  return (
    <div
      id={`node-${node}`}
      role="treeitem"
      aria-level={columns.depth[node] + 1}
      aria-expanded={isBranch ? isOpen : undefined}
      aria-selected={watch.opened.value === topic}
      class={classes}
      style={{ "--depth": columns.depth[node] }}
      title={topic}
      onClick={() => onChoose(node)}
    >
      <span
        class={isOpen ? "twist is-open" : "twist"}
        aria-hidden="true"
        onClick={(event) => {
          if (!isBranch) return;
          event.stopPropagation();
          onOpen(node, !isOpen);
        }}
      >
        {isBranch && <Icon name="chevron" />}
      </span>
      <span class="row-name">{name === "" ? <i class="soft">empty level</i> : name}</span>
      {isHeard && <span class="row-value">{columns.size[node] === 0 ? <i class="soft">empty</i> : value}</span>}
      {isHeard && <Trend values={store.points(node).y} />}
      <span class="row-numbers">
        {isRetained && (
          <span class="row-pin" title="retained">
            <Icon name="pin" />
            <span class="hidden-label">retained</span>
          </span>
        )}
        {isBranch && <span class="row-count">{formatShort(columns.topics[node])} {columns.topics[node] === 1 ? "topic" : "topics"}</span>}
        <span class="row-rate">{columns.rate[node] > 0 ? formatRate(columns.rate[node]) : columns.total[node] > 0 && formatShort(columns.total[node])}</span>
      </span>
    </div>
  );
}
