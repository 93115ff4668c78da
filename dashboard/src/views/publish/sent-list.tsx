/** What was sent from this tab. Each can be taken up again. */

import { formatTime } from "../../format";
import type { Draft } from "./draft";
import { forgetAll, sent, type Sent } from "./sent";

const SEEN = 200; // characters of a payload

export function SentList({ onChoose }: { readonly onChoose: (draft: Draft) => void }) {
  const now = Date.now();
  return (
    <section class="card sent" aria-label="Sent">
      <h2 class="line">
        Sent
        {sent.value.length > 0 && (
          <button type="button" class="link push" onClick={forgetAll}>
            Forget all
          </button>
        )}
      </h2>
      {sent.value.length === 0 && <p class="soft">What you publish is listed here, as long as this tab is open.</p>}
      <ol class="plain">
        {sent.value.map((each) => (
          <li key={each.id}>
            <button type="button" class="sent-one" onClick={() => onChoose(each.draft)} title="Take it up again">
              <span class="line">
                <time class="soft">{formatTime(each.at, now)}</time>
                <span class={each.receipt?.problem != null ? "tag tag-refused" : "tag"}>{outcome(each)}</span>
                <span class="soft">
                  QoS {each.draft.qos}
                  {each.draft.retain && ", retained"}
                </span>
              </span>
              <b class="sent-topic">{each.draft.topic}</b>
              <span class="sent-payload">
                {each.draft.payload.slice(0, SEEN) || "empty"}
                {each.draft.payload.length > SEEN && " …"}
              </span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}

function outcome({ receipt, draft }: Sent): string {
  if (receipt === null) return "on its way";
  if (receipt.problem !== null) return receipt.problem;
  if (receipt.isNobodySubscribed) return "nobody has subscribed";
  return draft.qos === 0 ? "sent" : "acknowledged";
}
