/** A payload that is an image. What is drawn runs nothing, also where it is SVG: it is an `img`. */

import { useEffect, useState } from "preact/hooks";

interface Props {
  readonly payload: Uint8Array;
  readonly type: string;
}

export function ImageView({ payload, type }: Props) {
  const [address, setAddress] = useState("");
  const [size, setSize] = useState("");
  const [isBroken, setBroken] = useState(false);
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([payload as Uint8Array<ArrayBuffer>], { type }));
    setAddress(made);
    setBroken(false);
    return () => URL.revokeObjectURL(made);
  }, [payload, type]);
  if (isBroken) return <p class="caution">It begins as {type}, and the browser cannot draw it. Hex shows what it is.</p>;
  return (
    <figure class="image">
      {address !== "" && (
        <img
          src={address}
          alt={`The payload, ${type}`}
          onLoad={(event) => setSize(`${event.currentTarget.naturalWidth} × ${event.currentTarget.naturalHeight}`)}
          onError={() => setBroken(true)}
        />
      )}
      <figcaption class="soft">
        {type} {size}
      </figcaption>
    </figure>
  );
}
