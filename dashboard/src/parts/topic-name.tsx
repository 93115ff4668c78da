/** A topic that may be broken behind each of its slashes, and elsewhere only where it has to be. */

import { Fragment } from "preact";

export function TopicName({ topic }: { readonly topic: string }) {
  if (topic === "") return <i>empty level</i>;
  return (
    <>
      {topic.split("/").map((level, i) => (
        <Fragment key={i}>
          {i > 0 && (
            <>
              /<wbr />
            </>
          )}
          {level}
        </Fragment>
      ))}
    </>
  );
}
