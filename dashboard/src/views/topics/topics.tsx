/** All topics as a tree that lives, and one of them from near. */

import { useEffect } from "preact/hooks";
import { usePage } from "../../page";
import { route } from "../../router";
import { TopicPanel } from "./panel";
import { Toolbar } from "./toolbar";
import { Tree } from "./tree";
import "./topics.css";

export function TopicsView() {
  const { watch } = usePage();
  const asked = route.value.query.get("topic");
  useEffect(() => watch.start(), [watch]);
  // The address says which topic is open, so that the back button of a phone closes it.
  useEffect(() => watch.open(asked), [watch, asked]);
  const opened = watch.opened.value;
  return (
    <div class={opened === null ? "topics" : "topics has-panel"}>
      <h1 class="hidden-label">Topics</h1>
      <section class="topics-list card" aria-label="All topics">
        <Toolbar />
        <Tree />
      </section>
      {opened !== null && <TopicPanel key={opened} topic={opened} />}
    </div>
  );
}
