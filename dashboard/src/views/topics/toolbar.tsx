/** What is searched for, what is listened to, and how much of it there is. */

import { useEffect, useRef, useState } from "preact/hooks";
import { counted, formatCount, formatRate } from "../../format";
import { usePage } from "../../page";
import { Icon } from "../../parts/icon";
import { faultOfFilter } from "../../topics/filter";
import { PERIODS } from "../../topics/pace";
import { ROOT } from "../../topics/store";
import { NotifyList } from "./notify-list";

export function Toolbar() {
  const { watch } = usePage();
  const [query, setQuery] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      const isWriting = event.target instanceof Element && event.target.closest("input, textarea, select, dialog") !== null;
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isWriting) return;
      event.preventDefault();
      field.current?.focus();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
  useEffect(() => {
    watch.rows.find(query);
    watch.tick.value++;
  }, [watch, query]);
  return (
    <div class="toolbar">
      <div class="toolbar-line">
        <label class="search">
          <span class="hidden-label">Search topics</span>
          <Icon name="search" />
          <input
            ref={field}
            type="search"
            aria-keyshortcuts="/"
            value={query}
            placeholder="Search topics"
            spellcheck={false}
            autocapitalize="none"
            onInput={(event) => setQuery(event.currentTarget.value)}
          />
        </label>
        <button
          type="button"
          class="icon-button"
          aria-pressed={watch.isPaused.value}
          aria-label={watch.isPaused.value ? "Go on" : "Hold the display"}
          title={watch.isPaused.value ? "Go on" : "Hold the display"}
          onClick={() => watch.pause(!watch.isPaused.value)}
        >
          <Icon name={watch.isPaused.value ? "play" : "pause"} />
        </button>
      </div>
      <div class="toolbar-line">
        <Counts />
        <NotifyList />
        <FilterChoice />
      </div>
      <Refusal />
      <Slowness />
    </div>
  );
}

/** What the page shows less of than there is, so that the broker and the browser keep their speed. */
function Slowness() {
  const { watch } = usePage();
  if (watch.period.value === PERIODS[0]) return null;
  return (
    <p class="caution" role="status">
      Very many topics change: they take turns in showing their last values. All messages are counted. Listen to a narrower filter to
      see more.
    </p>
  );
}

function Refusal() {
  const { watch, link } = usePage();
  if (!link.refusals.value.includes(watch.filter.value)) return null;
  return (
    <p class="fault" role="alert">
      You may not subscribe to <code>{watch.filter.value}</code>. Listen to a filter that the broker's rules grant you.
    </p>
  );
}

function Counts() {
  const { watch } = usePage();
  void watch.tick.value;
  const { store, rows } = watch;
  return (
    <p class="soft counts">
      {rows.isSearch ? `${formatCount(rows.found)} found of ${counted(store.topics, "topic")}` : counted(store.topics, "topic")},{" "}
      {formatRate(store.columns.rate[ROOT])}
      {watch.isPaused.value && <b> · held</b>}
      {store.turnedAway > 0 && <b> · the list is full: {counted(store.turnedAway, "message")} of further topics not shown</b>}
    </p>
  );
}

function FilterChoice() {
  const { watch } = usePage();
  const [isOpen, setOpen] = useState(false);
  const [filter, setFilter] = useState(watch.filter.value);
  const fault = faultOfFilter(filter);
  if (!isOpen) {
    return (
      <button type="button" class="link watched" onClick={() => setOpen(true)}>
        listening to <code>{watch.filter.value}</code>
      </button>
    );
  }
  const submit = (event: Event): void => {
    event.preventDefault();
    if (fault !== null) return;
    watch.change(filter);
    setOpen(false);
  };
  return (
    <form class="filter-form" onSubmit={submit}>
      <label>
        Listen to the filter
        <input
          value={filter}
          aria-invalid={fault !== null}
          aria-describedby="filter-fault"
          spellcheck={false}
          autocapitalize="none"
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
      </label>
      <button type="submit" disabled={fault !== null}>
        Listen
      </button>
      <p id="filter-fault" class="soft" role="status">
        {fault ?? (watch.filter.value.startsWith("$") ? "" : "# is everything but $SYS/#.")}
      </p>
    </form>
  );
}
