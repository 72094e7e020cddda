/** What happens before anything is shown: who is signed in, or the way there. */
import { Refused } from "./api/errors"
import { complete, hasSignedOut, resume, signIn } from "./api/session"

export const CALLBACK = "/callback"

export type Begun = { as: "signed-in" } | { as: "leading" } | { as: "signed-out" } | { as: "refused"; refusal: Refused }

export async function begin(): Promise<Begun> {
  try {
    if (location.pathname === CALLBACK) {
      const wanted = await complete(new URLSearchParams(location.search))
      // The code is used up: it does not stay in the history.
      history.replaceState(null, "", wanted)
      return { as: "signed-in" }
    }
    try {
      await resume()
      return { as: "signed-in" }
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401) throw error
    }
    if (hasSignedOut()) return { as: "signed-out" }
    await signIn()
    return { as: "leading" }
  } catch (error) {
    const refusal = error instanceof Refused ? error : new Refused(0, "UNEXPECTED", String(error))
    return { as: "refused", refusal }
  }
}
