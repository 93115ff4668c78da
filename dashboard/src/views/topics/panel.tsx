/** One topic, or one branch, from near. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { counted, formatAge, formatCount, formatRate } from "../../format";
import { usePage } from "../../page";
import { CopyButton } from "../../parts/copy";
import { Icon } from "../../parts/icon";
import { TopicName } from "../../parts/topic-name";
import type { Step } from "../../topics/numbers";
import { HEARD, RETAINED } from "../../topics/columns";
import { EACH_UP_TO } from "../../topics/watch";
import { hrefTo } from "../../router";
import { Messages } from "./messages";
import { NotifyButton } from "./notify-button";
import { PayloadView } from "./payload-view";
import { PublicationFacts } from "./publication-facts";
import { RemoveRetained } from "./remove-retained";
import { ValueChart } from "./value-chart";
import { Incomplete } from "./incomplete";

export function TopicPanel({ topic }: { readonly topic: string }) {
  const { watch } = usePage();
  void watch.tick.value;
  const [isRemoving, setRemoving] = useState(false);
  // A message that was chosen from the list; null: the last one, whatever comes.
  const [held, setHeld] = useState<number | null>(null);
  const [path, setPath] = useState<readonly Step[]>([]);
  const panel = useRef<HTMLElement>(null);
  // On a phone the panel takes the place of the tree: who opened it goes on in it.
  useLayoutEffect(() => {
    const own = panel.current;
    if (matchMedia("(max-width: 899px)").matches) own?.focus();
    return () => {
      // Who closed the panel with a key goes on in the tree, when that is to be seen again.
      const hadFocus = own?.contains(document.activeElement) === true;
      if (hadFocus) requestAnimationFrame(() => document.querySelector<HTMLElement>("[role=tree]")?.focus());
    };
  }, []);
  const { store, history } = watch;
  const node = store.find(topic);
  const close = (): void => {
    location.hash = hrefTo("topics");
  };
  const isBranch = node !== undefined && store.isBranch(node);
  const shown = (held === null ? undefined : history.get(held)) ?? history.last;
  return (
    <section
      ref={panel}
      class="panel card"
      aria-label={`Topic ${topic}`}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key === "Escape" && !isRemoving) close();
      }}
    >
      <header class="panel-head">
        <button type="button" class="icon-button panel-back" onClick={close} aria-label="Back to all topics">
          <Icon name="back" />
        </button>
        <h2 class="panel-topic">
          <TopicName topic={topic} />
        </h2>
        <CopyButton text={() => topic} what="the topic" />
        <button type="button" class="icon-button panel-close" onClick={close} aria-label="Close" title="Close">
          <Icon name="close" />
        </button>
      </header>
      <div class="buttons is-small">
        <a class="button" href={hrefTo("publish", { topic })}>
          <Icon name="send" /> Publish here
        </a>
        <NotifyButton topic={topic} />
        {node !== undefined && (
          <button type="button" onClick={() => setRemoving(true)}>
            <Icon name="trash" /> Remove retained …
          </button>
        )}
      </div>
      {node === undefined ? (
        <p class="notice">Nothing came of this topic yet.</p>
      ) : (
        <>
          {store.has(node, HEARD) && (
            <>
              <ValueChart node={node} path={path} onRoot={() => setPath([])} />
              {shown === undefined ? (
                <Incomplete topic={topic} node={node} />
              ) : (
                <PayloadView
                  key={held === null ? "last" : shown.index}
                  topic={topic}
                  message={shown}
                  isLast={held === null}
                  onLast={() => setHeld(null)}
                  charted={path}
                  onChart={setPath}
                />
              )}
            </>
          )}
          <dl class="facts">
            {store.has(node, HEARD) && (
              <>
                <dt>Last</dt>
                <dd>
                  {formatAge(store.columns.at[node], Date.now())}
                  {store.columns.at[node] > Date.now() - 1500 ? "" : " ago"}
                </dd>
                <dt>Messages</dt>
                <dd>{formatCount(store.columns.count[node])} since the page listens</dd>
              </>
            )}
            <dt>Rate</dt>
            <dd>
              {formatRate(store.columns.rate[node])}
              {isBranch && " with all below"}
            </dd>
            {isBranch && (
              <>
                <dt>Below</dt>
                <dd>
                  {counted(store.columns.topics[node], "topic")}, {counted(store.columns.total[node], "message")}
                </dd>
              </>
            )}
            {store.has(node, HEARD) && (
              <PublicationFacts topic={topic} isRetained={store.has(node, RETAINED)} publication={store.publication(node)} />
            )}
          </dl>
          {store.has(node, HEARD) && (
            <>
              {!watch.isEach.value && store.columns.rate[node] > EACH_UP_TO && (
                <p class="caution" role="status">
                  More messages come here than the page shows: it shows the last one now and then, and counts the others.
                </p>
              )}
              <Messages messages={history.messages} count={history.count} chosen={held} onChoose={setHeld} />
            </>
          )}
        </>
      )}
      {isRemoving && node !== undefined && (
        <RemoveRetained topic={topic} node={node} isBranch={isBranch} onClose={() => setRemoving(false)} />
      )}
    </section>
  );
}
