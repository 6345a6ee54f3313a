// One MathJax for pages and notebooks; the notebooks' own template asks for this file too.
if (!window.MathJax) {
  window.MathJax = {
    tex: { inlineMath: [["$", "$"], ["\\(", "\\)"]], processEscapes: true },
  };
  const script = document.createElement("script");
  script.src = "https://cdn.jsdelivr.net/npm/mathjax@3.2.2/es5/tex-chtml.js";
  script.async = true;
  document.head.appendChild(script);
}
