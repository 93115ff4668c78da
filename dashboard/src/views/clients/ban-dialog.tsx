/** Keep somebody out for a time: a client id, its user, or its address. */

import { useState } from "preact/hooks";
import type { ClientInfo, NewBan } from "../../api/contract";
import { usePage } from "../../page";
import { Dialog } from "../../parts/dialog";
import { tell, tellFault } from "../../parts/toast";

interface Props {
  readonly clientId: string;
  readonly client: ClientInfo | null;
  readonly onClose: () => void;
}

type Whom = "client_id" | "user" | "address";

const TIMES: readonly (readonly [number, string])[] = [
  [300, "5 minutes"],
  [3600, "an hour"],
  [86_400, "a day"],
  [604_800, "a week"],
];

export function BanDialog({ clientId, client, onClose }: Props) {
  const { api } = usePage();
  const [whom, setWhom] = useState<Whom>("client_id");
  const [seconds, setSeconds] = useState(TIMES[0][0]);
  const [why, setWhy] = useState("");
  const address = client === null ? null : hostOf(client.address);
  const choices: readonly (readonly [Whom, string, string | null])[] = [
    ["client_id", "the client id", clientId],
    ["user", "the user", client?.user ?? null],
    ["address", "the address", address],
  ];
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    const value = choices.find(([id]) => id === whom)?.[2] ?? clientId;
    try {
      await api.ban({ [whom]: value, seconds, why: why.trim() } as NewBan);
      tell(`${value} is banned.`);
      onClose();
    } catch (error) {
      tellFault(error);
    }
  };
  return (
    <Dialog title={`Ban ${clientId}`} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <fieldset class="choices">
          <legend class="hidden-label">Whom</legend>
          {choices.map(([id, title, value]) =>
            value === null ? null : (
              <label key={id}>
                <input type="radio" name="whom" checked={whom === id} onChange={() => setWhom(id)} />
                <span>
                  {title} <code>{value}</code>
                </span>
              </label>
            ),
          )}
        </fieldset>
        <label>
          For
          <select value={seconds} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
            {TIMES.map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
        <label>
          Why (for the log)
          <input value={why} maxLength={200} onInput={(event) => setWhy(event.currentTarget.value)} />
        </label>
        <div class="buttons">
          <button type="submit" class="danger">
            Ban
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** An address without its port: `10.0.0.7:50312`, `[::1]:50312`, `::1`. */
export function hostOf(address: string): string {
  const bracketed = /^\[([^\]]+)\]/.exec(address);
  if (bracketed !== null) return bracketed[1];
  return /^[^:]+:\d+$/.test(address) ? address.slice(0, address.lastIndexOf(":")) : address;
}
