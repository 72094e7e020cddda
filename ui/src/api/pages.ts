/** Lists that are read page by page. */
import { type QueryKey, useInfiniteQuery } from "@tanstack/react-query"

import type { Page } from "./kinds"

/** What has been read of a list so far. */
export interface Pages<T> {
  /** Undefined until the first page is there. */
  all: T[] | undefined
  /** How many there are in all, where that was asked. */
  total: number | undefined
  error: Error | null
  hasMore: boolean
  loadsMore: boolean
  more: () => void
}

/** A list; with `every`, it is looked at again after so many milliseconds. What was shown stays while another is read. */
export function usePages<T>(
  key: QueryKey,
  page: (cursor: string) => Promise<Page<T>>,
  { every, enabled = true }: { every?: (items: T[]) => number; enabled?: boolean } = {},
): Pages<T> {
  const list = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) => page(pageParam),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    placeholderData: (before) => before,
    enabled,
    refetchInterval: ({ state }) => every?.(state.data?.pages.flatMap((one) => one.items) ?? []) ?? false,
  })
  return {
    all: list.data?.pages.flatMap((one) => one.items),
    total: list.data?.pages[0]?.total,
    error: list.error,
    hasMore: list.hasNextPage,
    loadsMore: list.isFetchingNextPage,
    more: () => void list.fetchNextPage(),
  }
}

/** Which part of a list is asked for: of the first, also how many there are in all. */
export const at = (cursor: string) => (cursor ? { cursor } : { count: true })
