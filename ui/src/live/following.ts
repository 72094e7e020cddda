/** Whether changes are told: then nothing has to be asked for again and again. */
export const follows = {
  now: false,
  become(following: boolean): void {
    this.now = following
  },
}
