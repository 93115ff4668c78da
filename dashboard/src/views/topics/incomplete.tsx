/** A payload of which only the beginning is kept: says so, and gets the whole where the broker keeps it. */

import { useState } from "preact/hooks";
import { formatBytes } from "../../format";
import { usePage } from "../../page";
import { tellFault } from "../../parts/toast";
import { bytesOfBase64 } from "../../payload/hex";
import { oneLine } from "../../payload/kinds";
import { RETAINED } from "../../topics/columns";

interface Props {
  readonly topic: string;
  readonly node: number;
}

export function Incomplete({ topic, node }: Props) {
  const { api, watch } = usePage();
  const [isBusy, setBusy] = useState(false);
  const kept = watch.store.payload(node);
  const isRetained = watch.store.has(node, RETAINED);
  const fetchWhole = async (): Promise<void> => {
    setBusy(true);
    try {
      const whole = await api.retained(topic);
      const bytes = bytesOfBase64(whole.payload_base64);
      if (bytes !== null && watch.opened.value === topic) {
        watch.history.add(bytes, whole.qos, true, whole.published === null ? Date.now() : Date.parse(whole.published));
        watch.tick.value++;
      }
    } catch (error) {
      tellFault(error);
    }
    setBusy(false);
  };
  return (
    <div class="payload">
      <p class="caution">
        The first {formatBytes(kept.bytes.length)} of {formatBytes(kept.size)} are here: the page keeps long payloads only of the topic
        that is open.{" "}
        {isRetained ? (
          <button type="button" class="link" disabled={isBusy} onClick={() => void fetchWhole()}>
            Get the whole
          </button>
        ) : (
          "The next message will be whole."
        )}
      </p>
      <pre class="payload-text">{oneLine(kept.bytes, kept.size)}</pre>
    </div>
  );
}
