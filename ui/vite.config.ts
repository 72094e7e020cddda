import locales from "@react-aria/optimize-locales-plugin"
import react from "@vitejs/plugin-react"
import { defineConfig } from "vite"

export default defineConfig({
  base: "/ui/",
  plugins: [react(), { ...locales.vite({ locales: ["en-US", "de-DE"] }), enforce: "pre" }],
  build: {
    target: "es2022",
    // The policy of the page lets nothing be made of text; modern browsers preload by themselves.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
})
