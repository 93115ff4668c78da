/** Who is connected, what the broker keeps for whom, and who is kept out. For administrators. */

import { useState } from "preact/hooks";
import { usePage } from "../../page";
import { Tabs } from "../../parts/tabs";
import { BanList } from "./ban-list";
import { ClientList } from "./client-list";
import { ClientPanel } from "./client-panel";
import { SessionList } from "./session-list";
import "./clients.css";

type Which = "clients" | "sessions" | "bans";

const TABS: readonly { readonly id: Which; readonly title: string }[] = [
  { id: "clients", title: "Connected" },
  { id: "sessions", title: "Sessions" },
  { id: "bans", title: "Bans" },
];

export function ClientsView() {
  const { session } = usePage();
  const [which, setWhich] = useState<Which>("clients");
  const [opened, setOpened] = useState<string | null>(null);
  if (session.me.value?.administrator !== true) {
    return (
      <>
        <header class="view-head">
          <h1>Clients and sessions</h1>
        </header>
        <p class="caution">
          Only administrators see clients. The configuration names them: <code>administrators</code> in the section <code>[web]</code>.
        </p>
      </>
    );
  }
  return (
    <div class={opened === null ? "clients" : "clients has-panel"}>
      <section class="card clients-list" aria-labelledby="clients-title">
        <h1 id="clients-title">Clients and sessions</h1>
        <Tabs label="Which list" tabs={TABS} chosen={which} onChoose={setWhich} controls="clients-body" />
        <div id="clients-body" role="tabpanel" aria-label={TABS.find((tab) => tab.id === which)?.title} class="clients-body">
          {which === "clients" && <ClientList opened={opened} onOpen={setOpened} />}
          {which === "sessions" && <SessionList onOpen={setOpened} />}
          {which === "bans" && <BanList />}
        </div>
      </section>
      {opened !== null && <ClientPanel key={opened} id={opened} onClose={() => setOpened(null)} />}
    </div>
  );
}
