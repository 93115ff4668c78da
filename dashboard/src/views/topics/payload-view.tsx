/** A payload as text, as a JSON tree, as bytes, or as an image. What is cut says so, and gives the whole. */

import { useMemo, useState } from "preact/hooks";
import { formatBytes, formatTime } from "../../format";
import { CopyButton } from "../../parts/copy";
import { Icon } from "../../parts/icon";
import { Tabs } from "../../parts/tabs";
import { examine, looseText, type Examined, type View } from "../../payload/kinds";
import type { Heard } from "../../topics/history";
import type { Step } from "../../topics/numbers";
import { HexView } from "./hex-view";
import { ImageView } from "./image-view";
import { JsonTree } from "./json-tree";
import { TextView } from "./text-view";

const TITLES: Readonly<Record<View, string>> = { text: "Text", json: "JSON", hex: "Hex", image: "Image" };

interface Props {
  readonly topic: string;
  readonly message: Heard;
  readonly isLast: boolean;
  readonly onLast: () => void;
  readonly charted: readonly Step[];
  readonly onChart: (path: readonly Step[]) => void;
}

export function PayloadView({ topic, message, isLast, onLast, charted, onChart }: Props) {
  const { payload } = message;
  const [wish, setWish] = useState<View | null>(null);
  const examined = useMemo(() => examine(payload), [payload]);
  const view = wish !== null && examined.views.includes(wish) ? wish : examined.best;
  return (
    <section class="payload" aria-label="Payload">
      <div class="line payload-head">
        <Tabs
          label="How the payload is shown"
          tabs={examined.views.map((id) => ({ id, title: TITLES[id] }))}
          chosen={view}
          onChoose={setWish}
          controls="payload-body"
        />
        <span class="push payload-tools">
          <CopyButton text={() => looseText(payload)} what="the payload as text" />
          <button type="button" class="icon-button" onClick={() => download(topic, payload)} aria-label="Save the payload" title="Save">
            <Icon name="download" />
          </button>
        </span>
      </div>
      <p class="soft">
        {isLast ? "The last message" : <b>Held</b>}: {formatTime(message.at, Date.now())}, {formatBytes(payload.length)}, QoS {message.qos}
        {message.retained && ", retained"}.{" "}
        {!isLast && (
          <button type="button" class="link" onClick={onLast}>
            Follow the last
          </button>
        )}
      </p>
      <div id="payload-body" role="tabpanel" aria-label={TITLES[view]}>
        {payload.length === 0 ? (
          <p class="soft">Empty.</p>
        ) : (
          <Body view={view} payload={payload} examined={examined} charted={charted} onChart={onChart} />
        )}
      </div>
    </section>
  );
}

interface BodyProps {
  readonly view: View;
  readonly payload: Uint8Array;
  readonly examined: Examined;
  readonly charted: readonly Step[];
  readonly onChart: (path: readonly Step[]) => void;
}

function Body({ view, payload, examined, charted, onChart }: BodyProps) {
  switch (view) {
    case "json":
      return <JsonTree value={examined.json} charted={charted} onChart={onChart} />;
    case "hex":
      return <HexView payload={payload} />;
    case "image":
      return <ImageView payload={payload} type={examined.imageType ?? "application/octet-stream"} />;
    case "text":
      return <TextView payload={payload} isText={examined.isText} />;
  }
}

function download(topic: string, payload: Uint8Array): void {
  const address = URL.createObjectURL(new Blob([payload as Uint8Array<ArrayBuffer>]));
  const link = document.createElement("a");
  link.href = address;
  link.download = topic.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(-100) || "payload";
  link.click();
  URL.revokeObjectURL(address);
}
