/** Remove a retained message, or those of a whole branch: first it is counted, then asked. */

import { useEffect, useState } from "preact/hooks";
import { counted } from "../../format";
import { usePage } from "../../page";
import { Dialog } from "../../parts/dialog";
import { tell, tellFault } from "../../parts/toast";

interface Props {
  readonly topic: string;
  readonly node: number;
  readonly isBranch: boolean;
  readonly onClose: () => void;
}

type Extent = "topic" | "branch";

export function RemoveRetained({ topic, node, isBranch, onClose }: Props) {
  const { api, watch } = usePage();
  const [extent, setExtent] = useState<Extent>(isBranch ? "branch" : "topic");
  const [count, setCount] = useState<number | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const filter = extent === "branch" ? `${topic}/#` : topic;
  useEffect(() => {
    let isOver = false;
    setCount(null);
    setProblem(null);
    api.removeRetained(filter, true).then(
      (removal) => !isOver && setCount(removal.matched),
      (error: unknown) => !isOver && setProblem(error instanceof Error ? error.message : String(error)),
    );
    return () => (isOver = true);
  }, [api, filter]);
  const remove = async (): Promise<void> => {
    setBusy(true);
    try {
      const { removed } = await api.removeRetained(filter, false);
      watch.store.forgetRetained(node, extent === "branch");
      watch.touch();
      tell(`Removed ${counted(removed, "retained message")}.`);
      onClose();
    } catch (error) {
      tellFault(error);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Remove retained messages" onClose={onClose}>
      <div class="body">
        {isBranch && (
          <fieldset class="choices">
            <legend class="hidden-label">What to remove</legend>
            <label>
              <input type="radio" name="extent" checked={extent === "topic"} onChange={() => setExtent("topic")} />
              <span>
                only <code>{topic}</code>
              </span>
            </label>
            <label>
              <input type="radio" name="extent" checked={extent === "branch"} onChange={() => setExtent("branch")} />
              <span>
                the branch <code>{topic}/#</code>
              </span>
            </label>
          </fieldset>
        )}
        {problem === null ? (
          <p role="status">
            {count === null ? "Counting …" : <>The broker keeps {counted(count, "retained message")} of <code>{filter}</code>.</>}
          </p>
        ) : (
          <p class="fault" role="alert">
            {problem}
          </p>
        )}
        <p class="soft">Whoever subscribes later does not get what was removed. This cannot be undone.</p>
        <div class="buttons">
          <button type="button" class="danger" disabled={isBusy || count === null || count === 0} onClick={() => void remove()}>
            {isBusy ? "Removing …" : count ? `Remove ${counted(count, "message")}` : "Remove"}
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </div>
    </Dialog>
  );
}
