/** Bans as people say them. */

import type { Ban } from "../../api/contract";

/** Whom a ban keeps out: all that it names together. */
export function whoIsBanned(ban: Ban): string {
  const named = [
    ban.client_id === null ? "" : `client ${ban.client_id}`,
    ban.user === null ? "" : `user ${ban.user}`,
    ban.address === null ? "" : `address ${ban.address}`,
  ];
  return named.filter((part) => part !== "").join(", ");
}
